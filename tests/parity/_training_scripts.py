"""Training scripts as people write them: models that generate, that teach themselves and that others teach.

May import numpy and the table; ``torch`` is an argument, and so is what compiles a step, and what compiles a model.
"""

import copy
import math

import numpy as np

SCRIPTS: dict = {}


def script(whole, part, tolerance=1e-4):
    """Put a function into the table.

    Args:
        whole: how often each of its steps is compiled.
        part: how often each of its models is, where these alone are.
        tolerance: how far results may be from those of PyTorch.
    """

    def enter(function):
        SCRIPTS[function.__name__] = function, whole, part, tolerance
        return function

    return enter


def ends(*models):
    """What models hold."""
    return [dict(model.state_dict()) for model in models]


@script(whole=[1], part=[1, 2])
def dcgan(torch, whole, part):
    nn = torch.nn
    torch.manual_seed(0)
    G = nn.Sequential(
        nn.ConvTranspose2d(8, 8, 4, 1, 0, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(True),
        nn.ConvTranspose2d(8, 1, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    D = nn.Sequential(
        nn.Conv2d(1, 8, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(8, 1, 4, 1, 0, bias=False),
        nn.Sigmoid(),
    )

    def init(m):
        if m.__class__.__name__.find("Conv") != -1:
            nn.init.normal_(m.weight.data, 0.0, 0.02)
        elif m.__class__.__name__.find("BatchNorm") != -1:
            nn.init.normal_(m.weight.data, 1.0, 0.02)
            nn.init.constant_(m.bias.data, 0)

    G.apply(init)
    D.apply(init)
    G, D = part(G), part(D)
    criterion = nn.BCELoss()
    optD = torch.optim.Adam(D.parameters(), lr=0.0002, betas=(0.5, 0.999))
    optG = torch.optim.Adam(G.parameters(), lr=0.0002, betas=(0.5, 0.999))
    real_label, fake_label = 1.0, 0.0

    @whole
    def step(data, noise):
        D.zero_grad()
        b = data.size(0)
        label = torch.full((b,), real_label, dtype=torch.float)
        out = D(data).view(-1)
        errR = criterion(out, label)
        errR.backward()
        D_x = out.mean()
        fake = G(noise)
        label.fill_(fake_label)
        out = D(fake.detach()).view(-1)
        errF = criterion(out, label)
        errF.backward()
        D_G_z1 = out.mean()
        errD = errR + errF
        optD.step()
        G.zero_grad()
        label.fill_(real_label)
        out = D(fake).view(-1)
        errG = criterion(out, label)
        errG.backward()
        optG.step()
        return errD, errG, D_x, D_G_z1, out.mean()

    losses = []
    for i in range(4):
        res = step(torch.randn(4, 1, 8, 8), torch.randn(4, 8, 1, 1))
        losses.append([r.item() for r in res])
        print("[{}] Loss_D: {:.4f} Loss_G: {:.4f} D(x): {:.3f}".format(i, *losses[-1][:3]))
    return losses, ends(G, D)


@script(whole=[1, 1], part=[1])
def wgan_gp(torch, whole, part):
    nn = torch.nn
    torch.manual_seed(0)
    G = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    D = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
    oG = torch.optim.Adam(G.parameters(), 1e-3, betas=(0.0, 0.9))
    oD = torch.optim.Adam(D.parameters(), 1e-3, betas=(0.0, 0.9))

    def gp(D, real, fake, alpha):
        inter = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
        d = D(inter)
        grads = torch.autograd.grad(
            outputs=d,
            inputs=inter,
            grad_outputs=torch.ones_like(d),
            create_graph=True,
            retain_graph=True,
            only_inputs=True,
        )[0]
        grads = grads.view(grads.size(0), -1)
        return ((grads.norm(2, dim=1) - 1) ** 2).mean()

    @whole
    def d_step(real, z, alpha):
        oD.zero_grad()
        fake = G(z)
        g = gp(D, real.data, fake.data, alpha)
        loss = -D(real).mean() + D(fake.detach()).mean() + 10 * g
        loss.backward()
        oD.step()
        return loss.detach(), g.detach()

    @whole
    def g_step(z):
        oG.zero_grad()
        loss = -torch.mean(D(G(z)))
        loss.backward()
        oG.step()
        return loss

    G2 = part(G)
    log = []
    for i in range(8):
        d, g = d_step(torch.randn(8, 2) + 1, torch.randn(8, 4), torch.rand(8, 1))
        log.append((d, g))
        if i % 2 == 0:
            log.append(g_step(torch.randn(8, 4)).item())
    with torch.no_grad():
        out = G2(torch.randn(3, 4))
    return log, out, ends(G, D)


@script(whole=[1], part=[2])
def vae(torch, whole, part):
    nn = torch.nn
    F = nn.functional

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc21, self.fc22 = nn.Linear(12, 16), nn.Linear(16, 3), nn.Linear(16, 3)
            self.fc3, self.fc4 = nn.Linear(3, 16), nn.Linear(16, 12)

        def encode(self, x):
            h = F.relu(self.fc1(x))
            return self.fc21(h), self.fc22(h)

        def reparameterize(self, mu, logvar, eps):
            std = torch.exp(0.5 * logvar)
            return mu + eps * std

        def decode(self, z):
            return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

        def forward(self, x, eps):
            mu, logvar = self.encode(x.view(-1, 12))
            return self.decode(self.reparameterize(mu, logvar, eps)), mu, logvar

    torch.manual_seed(1)
    model = part(VAE())
    opt = torch.optim.Adam(model.parameters(), lr=1e-3)

    def loss_function(recon, x, mu, logvar):
        bce = F.binary_cross_entropy(recon, x.view(-1, 12), reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return bce + kld

    @whole
    def train_step(data, eps):
        opt.zero_grad()
        recon, mu, logvar = model(data, eps)
        loss = loss_function(recon, data, mu, logvar)
        loss.backward()
        opt.step()
        return loss

    model.train()
    total = 0
    for i in range(6):
        data = torch.rand(5, 3, 4)
        loss = train_step(data, torch.randn(5, 3))
        total += loss.item()
        print(f"{i} {loss.item() / len(data):.3f}")
    model.eval()
    with torch.no_grad():
        r, _m, _l = model(torch.rand(5, 3, 4), torch.zeros(5, 3))
    return total, r, ends(model)


@script(whole=[1], part=[1])
def ddpm(torch, whole, part):
    nn = torch.nn
    F = nn.functional
    torch.manual_seed(2)

    class Time(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.dim = dim

        def forward(self, t):
            half = self.dim // 2
            e = math.log(10000) / (half - 1)
            e = torch.exp(torch.arange(half, device=t.device) * -e)
            e = t[:, None] * e[None, :]
            return torch.cat((e.sin(), e.cos()), dim=-1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.time = nn.Sequential(Time(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 16))
            self.a, self.gn, self.b = (
                nn.Conv2d(1, 16, 3, padding=1),
                nn.GroupNorm(4, 16),
                nn.Conv2d(16, 1, 3, padding=1),
            )

        def forward(self, x, t):
            h = self.a(x) + self.time(t)[:, :, None, None]
            return self.b(F.silu(self.gn(h)))

    class EMA:
        def __init__(self, model, decay):
            self.decay = decay
            self.ema_model = copy.deepcopy(model).eval().requires_grad_(False)

        @torch.no_grad()
        def update(self, model):
            for e, p in zip(self.ema_model.parameters(), model.parameters()):
                e.mul_(self.decay).add_(p, alpha=1 - self.decay)
            for e, p in zip(self.ema_model.buffers(), model.buffers()):
                e.copy_(p)

    class Diffusion(nn.Module):
        def __init__(self, model, T=20):
            super().__init__()
            self.model, self.T = model, T
            betas = torch.linspace(1e-4, 0.02, T)
            ac = torch.cumprod(1 - betas, 0)
            self.register_buffer("sqrt_ac", ac.sqrt())
            self.register_buffer("sqrt_1mac", (1 - ac).sqrt())

        def extract(self, a, t, shape):
            return a.gather(-1, t).reshape(t.shape[0], *((1,) * (len(shape) - 1)))

        def forward(self, x, t, noise):
            _b, _c, h, w = x.shape
            assert h == 6 and w == 6, "height and width must be 6"
            xt = self.extract(self.sqrt_ac, t, x.shape) * x + self.extract(self.sqrt_1mac, t, x.shape) * noise
            return F.mse_loss(self.model(xt, t), noise)

    net = Net()
    diff = part(Diffusion(net))
    ema = EMA(net, 0.9)
    opt = torch.optim.AdamW(diff.parameters(), lr=1e-3)

    @whole
    def step(x, t, noise):
        opt.zero_grad(set_to_none=True)
        loss = diff(x, t, noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(diff.parameters(), 1.0)
        opt.step()
        ema.update(net)
        return loss.detach()

    ls = []
    for _i in range(6):
        x = torch.randn(4, 1, 6, 6)
        t = torch.randint(0, diff.T, (x.shape[0],)).long()
        ls.append(step(x, t, torch.randn_like(x)))

    @torch.no_grad()
    def sample():
        x = torch.ones(1, 1, 6, 6)
        for i in reversed(range(3)):
            t = torch.full((1,), i, dtype=torch.long)
            x = x - 0.1 * ema.ema_model(x, t)
        return x

    return torch.stack(ls), sample(), ends(net, ema.ema_model)


@script(whole=[1], part=[1])
def moco(torch, whole, part):
    nn = torch.nn
    F = nn.functional

    class MoCo(nn.Module):
        def __init__(self, dim=4, K=16, m=0.9, T=0.2):
            super().__init__()
            self.K, self.m, self.T = K, m, T
            self.encoder_q = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, dim))
            self.encoder_k = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, dim))
            for q, k in zip(self.encoder_q.parameters(), self.encoder_k.parameters()):
                k.data.copy_(q.data)
                k.requires_grad = False
            self.register_buffer("queue", nn.functional.normalize(torch.randn(dim, K), dim=0))
            self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))

        @torch.no_grad()
        def momentum(self):
            for q, k in zip(self.encoder_q.parameters(), self.encoder_k.parameters()):
                k.data = k.data * self.m + q.data * (1.0 - self.m)

        @torch.no_grad()
        def enqueue(self, keys):
            b = keys.shape[0]
            ptr = self.queue_ptr
            assert self.K % b == 0
            idx = (ptr + torch.arange(b)) % self.K
            self.queue[:, idx] = keys.T
            self.queue_ptr[0] = (ptr[0] + b) % self.K

        def forward(self, a, b):
            q = F.normalize(self.encoder_q(a), dim=1)
            with torch.no_grad():
                self.momentum()
                k = F.normalize(self.encoder_k(b), dim=1)
            pos = torch.einsum("nc,nc->n", [q, k]).unsqueeze(-1)
            neg = torch.einsum("nc,ck->nk", [q, self.queue.clone().detach()])
            logits = torch.cat([pos, neg], dim=1) / self.T
            labels = torch.zeros(logits.shape[0], dtype=torch.long)
            self.enqueue(k)
            return logits, labels

    torch.manual_seed(3)
    model = part(MoCo())
    crit = nn.CrossEntropyLoss()
    opt = torch.optim.SGD(model.parameters(), 0.03, momentum=0.9, weight_decay=1e-4)

    @whole
    def step(a, b):
        out, target = model(a, b)
        loss = crit(out, target)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss, (out.argmax(1) == target).float().mean()

    res = []
    for _i in range(7):
        x = torch.randn(4, 6)
        l, acc = step(x + 0.1 * torch.randn(4, 6), x + 0.1 * torch.randn(4, 6))
        res.append((l.item(), acc.item()))
    return res, ends(model)


@script(whole=[1], part=[1])
def distil(torch, whole, part):
    nn = torch.nn
    F = nn.functional
    torch.manual_seed(5)
    teacher = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3)).eval()
    student = part(nn.Linear(6, 3))
    opt = torch.optim.SGD(student.parameters(), 0.1, nesterov=True, momentum=0.9)
    T, alpha = 4.0, 0.7

    @whole
    def step(x, y):
        with torch.no_grad():
            t = teacher(x)
        s = student(x)
        soft = F.kl_div(F.log_softmax(s / T, dim=1), F.softmax(t / T, dim=1), reduction="batchmean") * (T * T)
        hard = F.cross_entropy(s, y)
        loss = alpha * soft + (1.0 - alpha) * hard
        opt.zero_grad()
        loss.backward()
        opt.step()
        return {"loss": loss.detach(), "soft": soft.detach(), "hard": hard.detach(), "acc": (s.argmax(-1) == y).sum()}

    logs = {"loss": [], "soft": [], "hard": [], "acc": []}
    for _ in range(6):
        r = step(torch.randn(8, 6), torch.randint(0, 3, (8,)))
        for k, v in r.items():
            logs[k].append(v)
    print({k: f"{sum(v).item() / len(v):.4f}" for k, v in logs.items()})
    return logs, ends(student)


@script(whole=[2], part=[1])
def mixup(torch, whole, part):
    nn = torch.nn
    torch.manual_seed(6)
    np.random.seed(0)
    net = part(
        nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 3),
        )
    )
    opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    crit = nn.CrossEntropyLoss()

    def mixup_data(x, y, alpha=1.0):
        lam = np.random.beta(alpha, alpha)
        index = torch.randperm(x.size(0))
        return lam * x + (1 - lam) * x[index, :], y, y[index], lam

    def mixup_criterion(crit, pred, ya, yb, lam):
        return lam * crit(pred, ya) + (1 - lam) * crit(pred, yb)

    @whole
    def step(x, ya, yb, lam):
        out = net(x)
        loss = mixup_criterion(crit, out, ya, yb, lam)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss, out.max(1)[1].eq(ya).sum()

    ls = []
    correct = 0
    for _i in range(6):
        x, y = torch.randn(6, 1, 5, 5), torch.randint(0, 3, (6,))
        loss, c = step(*mixup_data(x, y))
        ls.append(loss.item())
        correct += c.item()
    return ls, correct, ends(net)
