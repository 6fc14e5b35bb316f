"""Training scripts as people write them: adapters, vision, experts, precision, averages, loaders.

May import numpy and the table; ``torch`` is an argument, and so is what compiles a step, and what compiles a model.
"""

import copy

import numpy as np

from ._training_scripts import ends, script


@script(whole=[1], part=[3])
def lora(torch, whole, part):
    nn = torch.nn
    F = nn.functional
    parametrize = nn.utils.parametrize
    torch.manual_seed(0)

    class LoRA(nn.Module):
        def __init__(self, o, i, r=2, alpha=4):
            super().__init__()
            self.A, self.B, self.s = nn.Parameter(torch.randn(r, i) * 0.1), nn.Parameter(torch.zeros(o, r)), alpha / r

        def forward(self, W):
            return W + (self.B @ self.A) * self.s

    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    for l in net:
        if isinstance(l, nn.Linear):
            parametrize.register_parametrization(l, "weight", LoRA(*l.weight.shape))
    for n, p in net.named_parameters():
        p.requires_grad = ".A" in n or ".B" in n
    net2 = part(net)
    opt = torch.optim.AdamW(filter(lambda p: p.requires_grad, net.parameters()), 0.05)

    @whole
    def step(x, y):
        loss = F.cross_entropy(net2(x), y)
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss

    ls = [step(torch.randn(6, 4), torch.randint(0, 2, (6,))).item() for _ in range(6)]
    x = torch.randn(2, 4)
    with torch.no_grad(), parametrize.cached():
        a = net2(x)
    for l in net:
        if isinstance(l, nn.Linear):
            parametrize.remove_parametrizations(l, "weight", leave_parametrized=True)
    return ls, a, net2(x), ends(net), sum(p.numel() for p in net.parameters())


@script(whole=[1], part=[1])
def segmentation(torch, whole, part):
    nn = torch.nn
    F = nn.functional
    torch.manual_seed(0)

    class DC(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.s = nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True))

        def forward(self, x):
            return self.s(x)

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.d1, self.d2, self.up, self.u1, self.o = (
                DC(1, 4),
                DC(4, 8),
                nn.ConvTranspose2d(8, 4, 2, 2),
                DC(8, 4),
                nn.Conv2d(4, 1, 1),
            )
            self.pool = nn.MaxPool2d(2)

        def forward(self, x):
            a = self.d1(x)
            b = self.d2(self.pool(a))
            u = self.up(b)
            dy, dx = a.size(2) - u.size(2), a.size(3) - u.size(3)
            return self.o(self.u1(torch.cat([F.pad(u, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2]), a], 1)))

    class Focal(nn.Module):
        def __init__(self, alpha=0.25, gamma=2.0):
            super().__init__()
            self.alpha, self.gamma = alpha, gamma

        def forward(self, x, t):
            ce = F.binary_cross_entropy_with_logits(x, t, reduction="none")
            p = torch.sigmoid(x)
            pt = p * t + (1 - p) * (1 - t)
            loss = ce * ((1 - pt) ** self.gamma)
            if self.alpha >= 0:
                loss = (self.alpha * t + (1 - self.alpha) * (1 - t)) * loss
            return loss.mean()

    def dice(x, t, eps=1.0):
        x = torch.sigmoid(x)
        i = (x * t).sum((1, 2, 3))
        total = x.sum((1, 2, 3)) + t.sum((1, 2, 3))
        return 1 - ((2 * i + eps) / (total + eps)).mean()

    net = part(UNet())
    focal = Focal()
    opt = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    sched = torch.optim.lr_scheduler.PolynomialLR(opt, total_iters=10, power=0.9)

    @whole
    def step(x, t):
        logits = net(x)
        loss = focal(logits, t) + dice(logits, t)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss, ((logits > 0) == t.bool()).float().mean()

    log = []
    for _ in range(5):
        x = torch.randn(2, 1, 7, 7)
        l, acc = step(x, (x > 0).float())
        sched.step()
        log.append((l.item(), round(acc.item(), 4)))
    return log, ends(net)


@script(whole=[1], part=[1])
def moe(torch, whole, part):
    """Dense dispatch by one-hot masks."""
    nn = torch.nn
    F = nn.functional
    torch.manual_seed(0)

    class MoE(nn.Module):
        def __init__(self, d=4, E=3, k=2):
            super().__init__()
            self.E, self.k = E, k
            self.gate = nn.Linear(d, E, bias=False)
            self.experts = nn.ModuleList([nn.Sequential(nn.Linear(d, 8), nn.SiLU(), nn.Linear(8, d)) for _ in range(E)])

        def forward(self, x):
            logits = self.gate(x)
            w, sel = torch.topk(logits, self.k, dim=1)
            w = F.softmax(w, dim=1, dtype=torch.float).to(x.dtype)
            mask = F.one_hot(sel, self.E).permute(2, 1, 0)
            out = torch.zeros_like(x)
            for e in range(self.E):
                wt = (mask[e].to(x.dtype) * w.t()).sum(0)
                out = out + wt.unsqueeze(1) * self.experts[e](x)
            p = F.softmax(logits, 1).mean(0)
            f = F.one_hot(sel[:, 0], self.E).float().mean(0)
            return out, self.E * (p * f).sum()

    m = part(MoE())
    opt = torch.optim.AdamW(m.parameters(), 1e-2)

    @whole
    def step(x, y):
        o, aux = m(x)
        loss = F.mse_loss(o, y) + 0.01 * aux
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss, aux

    return [[t.item() for t in step(torch.randn(7, 4), torch.randn(7, 4))] for _ in range(6)], ends(m)


@script(whole=[1, 1], part=[2])
def early_stopping(torch, whole, part):
    nn = torch.nn
    F = nn.functional
    torch.manual_seed(0)

    class EarlyStopping:
        def __init__(self, patience=2):
            self.patience, self.counter, self.best, self.stop = patience, 0, None, False

        def __call__(self, val, model):
            if self.best is None or val < self.best:
                self.best, self.counter, self.state = val, 0, copy.deepcopy(model.state_dict())
            else:
                self.counter += 1
                print(f"EarlyStopping counter: {self.counter} out of {self.patience}")
                self.stop = self.counter >= self.patience

    m = part(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)))
    opt = torch.optim.SGD(m.parameters(), 0.4)
    es = EarlyStopping()
    sched = torch.optim.lr_scheduler.ReduceLROnPlateau(opt, factor=0.5, patience=0)

    @whole
    def train_step(x, y):
        m.train()
        opt.zero_grad()
        loss = F.mse_loss(m(x), y)
        loss.backward()
        opt.step()
        return loss

    @whole
    def evaluate(x, y):
        m.eval()
        with torch.no_grad():
            return F.mse_loss(m(x), y)

    x, y = torch.randn(12, 3), torch.randn(12, 1)
    log, best = [], float("inf")
    for ep in range(10):
        tr = sum(train_step(a, b).item() * len(a) for a, b in zip(x[:8].split(4), y[:8].split(4))) / 8
        loss = evaluate(x[8:], y[8:])
        sched.step(loss)
        log.append((tr, loss.item(), opt.param_groups[0]["lr"]))
        if loss.item() < best:
            best = loss.item()
        print(f"{ep:2d} train {tr:.4f} val {loss:.4f} lr {opt.param_groups[0]['lr']:.3g}")
        es(loss.item(), m)
        if es.stop:
            break
    m.load_state_dict(es.state)
    return log, best, evaluate(x[8:], y[8:]), ends(m)


@script(whole=[1], part=[1], tolerance=3e-3)
def amp(torch, whole, part):
    nn = torch.nn
    torch.manual_seed(0)
    m = part(nn.Sequential(nn.Linear(4, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3)))
    opt = torch.optim.AdamW(m.parameters(), 1e-2)
    scaler = torch.amp.GradScaler("cpu", enabled=True, init_scale=256.0)
    crit = nn.CrossEntropyLoss()

    @whole
    def step(x, y):
        opt.zero_grad(set_to_none=True)
        with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
            out = m(x)
            loss = crit(out, y)
        scaler.scale(loss).backward()
        scaler.unscale_(opt)
        nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        scaler.step(opt)
        scaler.update()
        return loss, out

    log = []
    for _ in range(6):
        l, o = step(torch.randn(8, 4), torch.randint(0, 3, (8,)))
        log.append((l.item(), str(o.dtype).split(".")[-1]))
    return log, scaler.get_scale(), [p.detach() for p in m.parameters()][3:]


@script(whole=[1], part=[1])
def swa(torch, whole, part):
    nn = torch.nn
    F = nn.functional
    U = torch.optim.swa_utils
    torch.manual_seed(0)
    m = part(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)))
    opt = torch.optim.SGD(m.parameters(), 0.1)
    avg = U.AveragedModel(m)
    ema = U.AveragedModel(m, multi_avg_fn=U.get_ema_multi_avg_fn(0.9))
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, 4)
    ss = U.SWALR(opt, swa_lr=0.05, anneal_epochs=2)
    data = [(torch.randn(6, 4), torch.randint(0, 2, (6,))) for _ in range(3)]

    @whole
    def step(x, y):
        opt.zero_grad()
        l = F.cross_entropy(m(x), y)
        l.backward()
        opt.step()
        ema.update_parameters(m)
        return l

    log = []
    for ep in range(5):
        for x, y in data:
            log.append(step(x, y).item())
        if ep >= 2:
            avg.update_parameters(m)
            ss.step()
        else:
            sched.step()
    U.update_bn([x for x, _ in data], avg)
    avg.eval()
    return log, avg(data[0][0]), int(avg.n_averaged), ends(m, avg.module, ema.module)


@script(whole=[1], part=[2])
def loader(torch, whole, part):
    nn = torch.nn
    F = nn.functional
    D = torch.utils.data
    torch.manual_seed(0)

    class Seqs(D.Dataset):
        def __init__(self, n):
            g = torch.Generator().manual_seed(1)
            self.x = [torch.randint(1, 9, (int(l),), generator=g) for l in torch.randint(2, 5, (n,), generator=g)]

        def __len__(self):
            return len(self.x)

        def __getitem__(self, i):
            return self.x[i], int(self.x[i].sum() % 2)

    def collate(b):
        xs, ys = zip(*b)
        return {
            "ids": nn.utils.rnn.pad_sequence(xs, batch_first=True),
            "len": torch.tensor([len(x) for x in xs]),
            "y": torch.tensor(ys),
        }

    train, val = D.random_split(Seqs(14), [10, 4], generator=torch.Generator().manual_seed(42))
    dl = D.DataLoader(
        train,
        batch_size=5,
        shuffle=True,
        collate_fn=collate,
        generator=torch.Generator().manual_seed(0),
        drop_last=True,
    )

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.e, self.o = nn.Embedding(9, 6, padding_idx=0), nn.Linear(6, 2)

        def forward(self, ids, lens):
            mask = (torch.arange(ids.size(1))[None] < lens[:, None]).unsqueeze(-1)
            h = (self.e(ids) * mask).sum(1) / lens[:, None]
            return self.o(h)

    net = part(Net())
    opt = torch.optim.Adam(net.parameters(), 1e-2)
    log = {"train": [], "val": []}

    @whole
    def step(batch):
        opt.zero_grad()
        out = net(batch["ids"], batch["len"])
        loss = F.cross_entropy(out, batch["y"])
        loss.backward()
        opt.step()
        return loss

    for ep in range(3):
        for i, batch in enumerate(dl):
            loss = step(batch)
            log["train"].append(loss.detach())
            print(f"[{ep}, {i + 1:5d}] loss: {loss.item():.3f}")
        with torch.no_grad():
            log["val"].append(
                np.mean(
                    [
                        F.cross_entropy(net(b["ids"], b["len"]), b["y"]).item()
                        for b in D.DataLoader(val, 2, collate_fn=collate)
                    ]
                )
            )
    return torch.stack(log["train"]).mean(), log, ends(net)


@script(whole=[1, 1], part=[2])
def triplet(torch, whole, part):
    nn = torch.nn
    F = nn.functional
    torch.manual_seed(0)

    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.f = nn.Sequential(nn.Linear(5, 8), nn.PReLU(), nn.Linear(8, 3))

        def forward_once(self, x):
            return F.normalize(self.f(x))

        def forward(self, *xs):
            return tuple(self.forward_once(x) for x in xs)

    m = part(Siamese())
    opt = torch.optim.Adagrad(m.parameters(), 0.05)
    tri = nn.TripletMarginLoss(0.3)

    class Contrastive(nn.Module):
        def __init__(self, margin=1.0):
            super().__init__()
            self.margin = margin

        def forward(self, a, b, y):
            d = F.pairwise_distance(a, b, keepdim=True)
            return torch.mean((1 - y) * d.pow(2) + y * torch.clamp(self.margin - d, min=0.0).pow(2))

    con = Contrastive()

    @whole
    def step(a, p, n, y):
        a, p, n = m(a, p, n)
        loss = tri(a, p, n) + con(a, n, y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    @whole
    def hard(x, y):
        e = m(x)[0]
        d = torch.cdist(e, e)
        same = y[:, None] == y[None]
        ap = (d * same).max(1)[0]
        an = (d + 10 * same.float()).min(1)[0]
        loss = F.relu(ap - an + 0.2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    out = [step(*torch.randn(3, 6, 5), torch.randint(0, 2, (6, 1)).float()).item() for _ in range(4)]
    return out, [hard(torch.randn(6, 5), torch.tensor([0, 0, 1, 1, 2, 2])).item() for _ in range(3)], ends(m)
