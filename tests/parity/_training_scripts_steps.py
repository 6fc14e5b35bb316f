"""Training scripts as people write them: unusual steps, learning by reward, sequences.

May import numpy and the table; ``torch`` is an argument, and so is what compiles a step, and what compiles a model.
"""

import collections
import math
import random

from ._training_scripts import ends, script


@script(whole=[2, 1], part=[1])
def accumulation(torch, whole, part):
    nn = torch.nn
    torch.manual_seed(0)
    k = 2
    model = part(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)))
    opt = torch.optim.AdamW(model.parameters(), 0.1)

    @whole
    def micro(x, y):
        loss = nn.functional.mse_loss(model(x), y) / k
        loss.backward()
        return loss

    @whole
    def update():
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        opt.step()
        opt.zero_grad(set_to_none=True)
        return norm

    ls, total = [], 0.0
    for i in range(8):
        loss = micro(torch.randn(3, 4), torch.randn(3, 1))
        total += loss.item()
        if (i + 1) % k == 0:
            n = update()
            ls.append(n.item())
            print(f"step {i + 1}: loss {total / k:.4f}, norm {n:.3f}")
            total = 0.0
    return ls, ends(model), opt.state_dict()["state"]


@script(whole=[1], part=[1])
def onecycle(torch, whole, part):
    nn = torch.nn
    torch.manual_seed(0)
    model = part(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)))
    opt = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    sched = torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=0.1, total_steps=10)
    crit = nn.CrossEntropyLoss(label_smoothing=0.1, weight=torch.tensor([1.0, 2.0, 0.5]))

    @whole
    def step(x, y):
        opt.zero_grad()
        loss = crit(model(x), y)
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.1)
        opt.step()
        sched.step()
        return loss

    log = []
    for i in range(8):
        loss = step(torch.randn(6, 4), torch.randint(0, 3, (6,)))
        log.append((loss.item(), opt.param_groups[0]["lr"], opt.param_groups[0]["momentum"], sched.get_last_lr()[0]))
        print(f"{i:03d} | {loss:.4f} | lr {sched.get_last_lr()[0]:.2e}")
    return log, ends(model)


@script(whole=[1], part=[1])
def sam(torch, whole, part):
    nn = torch.nn
    torch.manual_seed(0)

    class SAM(torch.optim.Optimizer):
        def __init__(self, params, base_optimizer, rho=0.05, **kwargs):
            defaults = dict(rho=rho, **kwargs)
            super().__init__(params, defaults)
            self.base_optimizer = base_optimizer(self.param_groups, **kwargs)
            self.param_groups = self.base_optimizer.param_groups
            self.defaults.update(self.base_optimizer.defaults)

        @torch.no_grad()
        def first_step(self, zero_grad=False):
            grad_norm = self._grad_norm()
            for group in self.param_groups:
                scale = group["rho"] / (grad_norm + 1e-12)
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    self.state[p]["old_p"] = p.data.clone()
                    e_w = p.grad * scale.to(p)
                    p.add_(e_w)
            if zero_grad:
                self.zero_grad()

        @torch.no_grad()
        def second_step(self, zero_grad=False):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    p.data = self.state[p]["old_p"]
            self.base_optimizer.step()
            if zero_grad:
                self.zero_grad()

        def _grad_norm(self):
            shared = self.param_groups[0]["params"][0].device
            return torch.norm(
                torch.stack(
                    [p.grad.norm(p=2).to(shared) for g in self.param_groups for p in g["params"] if p.grad is not None]
                ),
                p=2,
            )

    model = part(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)))
    opt = SAM(model.parameters(), torch.optim.SGD, lr=0.1, momentum=0.9)

    @whole
    def step(x, y):
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        opt.first_step(zero_grad=True)
        nn.functional.cross_entropy(model(x), y).backward()
        opt.second_step(zero_grad=True)
        return loss

    return [step(torch.randn(6, 4), torch.randint(0, 3, (6,))).item() for _ in range(7)], ends(model)


@script(whole=[1], part=[1])
def maml(torch, whole, part):
    nn = torch.nn
    F = nn.functional
    torch.manual_seed(0)
    functional_call = torch.func.functional_call
    model = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    meta = torch.optim.Adam(model.parameters(), lr=1e-2)

    @whole
    def outer(xs, ys, xq, yq):
        meta.zero_grad()
        total = 0.0
        for t in range(xs.shape[0]):
            fast = dict(model.named_parameters())
            for _ in range(2):
                loss = F.mse_loss(functional_call(model, fast, (xs[t],)), ys[t])
                grads = torch.autograd.grad(loss, list(fast.values()), create_graph=True)
                fast = {n: p - 0.1 * g for (n, p), g in zip(fast.items(), grads)}
            total = total + F.mse_loss(functional_call(model, fast, (xq[t],)), yq[t])
        total.backward()
        meta.step()
        return total / xs.shape[0]

    out = []
    for _i in range(5):
        a = torch.rand(2, 1, 1) * 4
        x = torch.rand(2, 5, 1) * 10 - 5
        q = torch.rand(2, 5, 1) * 10 - 5
        out.append(outer(x, a * torch.sin(x), q, a * torch.sin(q)).item())
    with torch.no_grad():
        grid = part(model)(torch.linspace(-1, 1, 5).unsqueeze(1))
    return out, grid, ends(model)


@script(whole=[1, 1], part=[1])
def ppo(torch, whole, part):
    nn = torch.nn
    Categorical, Normal = torch.distributions.Categorical, torch.distributions.Normal
    torch.manual_seed(1)

    class AC(nn.Module):
        def __init__(self):
            super().__init__()
            self.actor = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))
            self.critic = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
            self.log_std = nn.Parameter(torch.zeros(2))

        def evaluate(self, s, a):
            d = Normal(self.actor(s), self.log_std.exp().expand(2))
            return d.log_prob(a).sum(-1), self.critic(s).squeeze(-1), d.entropy().sum(-1)

        def forward(self, s, a):
            return self.evaluate(s, a)

    net = part(AC())
    opt = torch.optim.Adam(
        [
            {"params": net.actor.parameters(), "lr": 3e-4},
            {"params": net.critic.parameters(), "lr": 1e-3},
            {"params": [net.log_std]},
        ],
        eps=1e-5,
    )

    @whole
    def update(s, a, old, ret, adv):
        adv = (adv - adv.mean()) / (adv.std() + 1e-8)
        lp, v, ent = net(s, a)
        ratio = torch.exp(lp - old.detach())
        surr = torch.min(ratio * adv, torch.clamp(ratio, 1 - 0.2, 1 + 0.2) * adv)
        with torch.no_grad():
            kl = ((ratio - 1) - (lp - old)).mean()
            frac = ((ratio - 1.0).abs() > 0.2).float().mean()
        loss = -surr.mean() + 0.5 * nn.functional.mse_loss(v, ret) - 0.01 * ent.mean()
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        opt.step()
        return loss.item() if False else loss, kl, frac

    s, a = torch.randn(16, 4), torch.randn(16, 2)
    with torch.no_grad():
        old, v, _ = net.evaluate(s, a)
    ret = torch.randn(16)
    out = []
    for _epoch in range(3):
        for idx in torch.randperm(16).split(8):
            out.append([r.item() for r in update(s[idx], a[idx], old[idx], ret[idx], (ret - v)[idx])])
    # a discrete one beside it
    probs = torch.softmax(torch.randn(5, 3), -1)
    Categorical(probs)
    f = whole(lambda p, a: (Categorical(p).log_prob(a), Categorical(logits=p.log()).entropy()))
    return out, f(probs, torch.tensor([0, 1, 2, 1, 0])), ends(net)


@script(whole=[1], part=[2])
def dqn(torch, whole, part):
    nn = torch.nn
    torch.manual_seed(0)
    random.seed(0)
    Transition = collections.namedtuple("Transition", ("state", "action", "next_state", "reward"))

    class Memory:
        def __init__(self, n):
            self.memory = collections.deque(maxlen=n)

        def push(self, *args):
            self.memory.append(Transition(*args))

        def sample(self, b):
            return random.sample(self.memory, b)

        def __len__(self):
            return len(self.memory)

    def mk():
        return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))

    policy, target = mk(), mk()
    target.load_state_dict(policy.state_dict())
    pol = part(policy)
    opt = torch.optim.AdamW(policy.parameters(), lr=1e-3, amsgrad=True)
    mem = Memory(50)
    BATCH, GAMMA, TAU = 8, 0.99, 0.05

    @whole
    def optimize(state, action, reward, nxt, mask):
        q = pol(state).gather(1, action)
        with torch.no_grad():
            nv = torch.where(mask, target(nxt).max(1).values, torch.zeros(()))
        expected = (nv * GAMMA) + reward
        loss = nn.SmoothL1Loss()(q, expected.unsqueeze(1))
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(policy.parameters(), 100)
        opt.step()
        return loss

    def soft():
        tsd, psd = target.state_dict(), policy.state_dict()
        for key in psd:
            tsd[key] = psd[key] * TAU + tsd[key] * (1 - TAU)
        target.load_state_dict(tsd)

    def select(s, i):
        if random.random() > 0.9 * math.exp(-i / 5):
            with torch.no_grad():
                return pol(s).max(1).indices.view(1, 1)
        return torch.tensor([[random.randrange(2)]], dtype=torch.long)

    s = torch.randn(1, 4)
    log = []
    for i in range(16):
        a = select(s, i)
        n = None if i % 5 == 4 else torch.randn(1, 4)
        mem.push(s, a, n, torch.tensor([float(a.item())]))
        s = n if n is not None else torch.randn(1, 4)
        if len(mem) >= BATCH:
            b = Transition(*zip(*mem.sample(BATCH)))
            mask = torch.tensor(tuple(x is not None for x in b.next_state), dtype=torch.bool)
            nxt = torch.cat([x if x is not None else torch.zeros(1, 4) for x in b.next_state])
            log.append(optimize(torch.cat(b.state), torch.cat(b.action), torch.cat(b.reward), nxt, mask).item())
            soft()
    return log, ends(policy, target)


@script(whole=[1], part=[1])
def ctc(torch, whole, part):
    nn = torch.nn
    F = nn.functional
    torch.manual_seed(0)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.g = nn.GRU(5, 8, bidirectional=True, batch_first=True)
            self.o = nn.Linear(16, 6)

        def forward(self, x):
            return F.log_softmax(self.o(self.g(x)[0]), -1).transpose(0, 1)

    m = part(M())
    opt = torch.optim.RMSprop(m.parameters(), 1e-3)
    crit = nn.CTCLoss(blank=0, zero_infinity=True)

    @whole
    def step(x, y, il, tl):
        lp = m(x)
        loss = crit(lp, y, il, tl)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    ls = []
    for i in range(6):
        ls.append(
            step(
                torch.randn(2, 9, 5), torch.randint(1, 6, (2, 3)), torch.tensor([9, 8]), torch.tensor([3, 2 + i % 2])
            ).item()
        )
    return ls, ends(m)


@script(whole=[1], part=[1])
def trainer_class(torch, whole, part):
    """A trainer object whose method is compiled, with counters and logs outside of it."""
    nn = torch.nn
    F = nn.functional
    torch.manual_seed(0)

    class Meter:
        def __init__(self):
            self.sum, self.n = 0.0, 0

        def update(self, v, n=1):
            self.sum += v * n
            self.n += n

        @property
        def avg(self):
            return self.sum / max(self.n, 1)

    class Trainer:
        def __init__(self):
            self.model = part(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)))
            self.opt = torch.optim.Adam(self.model.parameters(), 1e-2)
            self.step_count, self.history, self.ema = 0, [], None
            self.clip = 1.0
            self.meter = Meter()
            self._step = whole(self._train_step)

        def _train_step(self, x, y):
            loss = F.cross_entropy(self.model(x), y)
            self.opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            self.opt.step()
            return loss

        def fit(self, n):
            for _ in range(n):
                l = self._step(torch.randn(5, 4), torch.randint(0, 3, (5,)))
                self.step_count += 1
                self.history.append(l.detach())
                self.meter.update(l.item(), 5)
                self.ema = l.item() if self.ema is None else 0.9 * self.ema + 0.1 * l.item()
                if self.step_count % 2 == 0:
                    print(f"step {self.step_count}: {self.meter.avg:.4f} {self.ema:.4f}")

    t = Trainer()
    t.fit(7)
    return t.history, t.ema, ends(t.model)


@script(whole=[1, 1], part=[1, 2])
def sn_gan(torch, whole, part):
    nn = torch.nn
    F = nn.functional
    torch.manual_seed(0)
    G = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 8)), nn.ReLU(), nn.Linear(8, 2))
    D = nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Linear(2, 8)),
        nn.LeakyReLU(0.1),
        nn.utils.spectral_norm(nn.Linear(8, 1)),
    )
    G, D = part(G), part(D)
    g, d = (
        torch.optim.Adam(G.parameters(), 2e-3, betas=(0.0, 0.9)),
        torch.optim.Adam(D.parameters(), 2e-3, betas=(0.0, 0.9)),
    )

    @whole
    def dstep(x, z):
        d.zero_grad()
        loss = F.relu(1 - D(x)).mean() + F.relu(1 + D(G(z).detach())).mean()
        loss.backward()
        d.step()
        return loss

    @whole
    def gstep(z):
        g.zero_grad(set_to_none=True)
        D.requires_grad_(False)
        loss = -D(G(z)).mean()
        loss.backward()
        D.requires_grad_(True)
        g.step()
        return loss

    log = []
    for _ in range(6):
        log.append((dstep(torch.randn(6, 2), torch.randn(6, 3)).item(), gstep(torch.randn(6, 3)).item()))
    return log, ends(G, D)
