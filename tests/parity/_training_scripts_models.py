"""Training scripts as people write them: words, graphs, codes, equations.

May import numpy and the table; ``torch`` is an argument, and so is what compiles a step, and what compiles a model.
"""

import math

from ._training_scripts import ends, script


@script(whole=[1], part=[5])
def lm_cache(torch, whole, part):
    """Trained whole; generation with a growing cache compiles once a shape in the model."""
    nn = torch.nn
    F = nn.functional
    torch.manual_seed(0)

    class Attn(nn.Module):
        def __init__(self, d, h):
            super().__init__()
            self.h = h
            self.qkv = nn.Linear(d, 3 * d, bias=False)
            self.o = nn.Linear(d, d)

        def forward(self, x, past=None):
            B, T, C = x.shape
            q, k, v = self.qkv(x).view(B, T, 3, self.h, C // self.h).permute(2, 0, 3, 1, 4)
            if past is not None:
                k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=past is None)
            return self.o(y.transpose(1, 2).reshape(B, T, C)), (k, v)

    class GPT(nn.Module):
        def __init__(self, V=11, d=8, L=1, T=16):
            super().__init__()
            self.tok, self.pos = nn.Embedding(V, d), nn.Embedding(T, d)
            self.blocks = nn.ModuleList(
                [
                    nn.ModuleDict(
                        {
                            "ln": nn.LayerNorm(d),
                            "att": Attn(d, 2),
                            "ln2": nn.LayerNorm(d),
                            "mlp": nn.Sequential(nn.Linear(d, 16), nn.GELU(), nn.Linear(16, d)),
                        }
                    )
                    for _ in range(L)
                ]
            )
            self.ln_f, self.head = nn.LayerNorm(d), nn.Linear(d, V, bias=False)
            self.head.weight = self.tok.weight

        def forward(self, idx, past=None):
            start = 0 if past is None else past[0][0].size(2)
            x = self.tok(idx) + self.pos(torch.arange(start, start + idx.size(1)))
            new = []
            for i, b in enumerate(self.blocks):
                a, kv = b["att"](b["ln"](x), None if past is None else past[i])
                new.append(kv)
                x = x + a
                x = x + b["mlp"](b["ln2"](x))
            return self.head(self.ln_f(x)), new

    model = part(GPT())
    decay = [p for p in model.parameters() if p.dim() >= 2]
    no = [p for p in model.parameters() if p.dim() < 2]
    opt = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": no, "weight_decay": 0.0}], lr=1e-2, betas=(0.9, 0.95)
    )
    sched = torch.optim.lr_scheduler.LambdaLR(
        opt, lambda i: min(1.0, (i + 1) / 4) * 0.5 * (1 + math.cos(math.pi * i / 20))
    )

    @whole
    def step(x, y):
        logits, _ = model(x)
        loss = F.cross_entropy(logits.view(-1, logits.size(-1)), y.view(-1))
        opt.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        return loss

    ls = []
    for _i in range(6):
        d = torch.randint(0, 11, (4, 9))
        ls.append(step(d[:, :-1].contiguous(), d[:, 1:].contiguous()).item())
        sched.step()
    model.eval()
    ids = torch.tensor([[1, 2, 3]])
    past = None
    inp = ids
    with torch.no_grad():
        for _ in range(2):
            logits, past = model(inp, past)
            inp = logits[:, -1].argmax(-1, keepdim=True)
            ids = torch.cat([ids, inp], 1)
    torch.manual_seed(3)
    out = ids
    for _ in range(2):
        with torch.no_grad():
            lo = model(out)[0][:, -1] / 0.8
        v, _ = torch.topk(lo, 5)
        lo[lo < v[:, [-1]]] = -float("inf")
        out = torch.cat([out, torch.multinomial(F.softmax(lo, -1), 1)], 1)
    return ls, ids, out, ends(model)


@script(whole=[1], part=[1])
def word2vec(torch, whole, part):
    nn = torch.nn
    F = nn.functional
    torch.manual_seed(0)
    u, v = nn.Embedding(12, 6), nn.Embedding(12, 6)
    nn.init.uniform_(u.weight, -0.1, 0.1)
    nn.init.zeros_(v.weight)
    bag = nn.EmbeddingBag(12, 6, mode="mean")
    opt = torch.optim.SGD([*u.parameters(), *v.parameters(), *bag.parameters()], lr=0.5)
    cbag = part(bag)

    @whole
    def step(c, pos, neg, ctx, off):
        a, p, n = u(c), v(pos), v(neg)
        loss = -(F.logsigmoid((a * p).sum(-1)) + F.logsigmoid(-torch.bmm(n, a.unsqueeze(2)).squeeze(2)).sum(-1)).mean()
        h = cbag(ctx, off)
        loss = loss + F.cross_entropy(h @ v.weight.t(), pos)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return [
        step(
            torch.randint(0, 12, (4,)),
            torch.randint(0, 12, (4,)),
            torch.randint(0, 12, (4, 3)),
            torch.randint(0, 12, (10,)),
            torch.tensor([0, 2, 5, 5]),
        ).item()
        for _ in range(6)
    ], ends(u, v, bag)


@script(whole=[1, 1], part=[2])
def gnn(torch, whole, part):
    nn = torch.nn
    F = nn.functional
    torch.manual_seed(0)

    class Conv(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.lin = nn.Linear(i, o)

        def forward(self, x, e):
            src, dst = e
            x = self.lin(x)
            deg = torch.zeros(x.size(0)).scatter_add_(0, dst, torch.ones_like(dst, dtype=x.dtype)).clamp(min=1)
            norm = deg[src].pow(-0.5) * deg[dst].pow(-0.5)
            return torch.zeros_like(x).index_add(0, dst, norm.unsqueeze(-1) * x[src])

    class GAT(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.w = nn.Linear(i, o, bias=False)
            self.a = nn.Parameter(torch.randn(2 * o) * 0.1)

        def forward(self, x, e):
            h = self.w(x)
            s, d = e[0], e[1]
            al = F.leaky_relu((torch.cat([h[s], h[d]], -1) * self.a).sum(-1), 0.2)
            mx = torch.full((x.size(0),), -1e9).scatter_reduce(0, d, al, reduce="amax", include_self=True)
            ex = (al - mx[d]).exp()
            den = torch.zeros(x.size(0)).index_add_(0, d, ex)
            out = torch.zeros(x.size(0), h.size(1))
            out.index_add_(0, d, h[s] * (ex / den[d]).unsqueeze(-1))
            return out

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.c1, self.c2 = Conv(4, 8), GAT(8, 3)

        def forward(self, x, e):
            return self.c2(F.relu(self.c1(x, e)), e)

    net = part(Net())
    opt = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=5e-4)
    x, e, y = torch.randn(8, 4), torch.randint(0, 8, (2, 20)), torch.randint(0, 3, (8,))
    mask = torch.arange(8) < 5
    idx = mask.nonzero().squeeze(1)

    @whole
    def train():
        net.train()
        opt.zero_grad()
        out = net(x, e)
        loss = F.cross_entropy(out[idx], y[idx])
        loss.backward()
        opt.step()
        return loss

    @whole
    def test():
        net.eval()
        with torch.no_grad():
            return (net(x, e).argmax(1) == y).float().mean()

    log = []
    for ep in range(1, 7):
        l, a = train(), test()
        log.append((float(l.detach()), float(a)))
        print(f"Epoch: {ep:03d}, Loss: {l:.4f}, Acc: {a:.4f}")
    return log, ends(net)


@script(whole=[1], part=[1])
def quant_ste(torch, whole, part):
    nn = torch.nn
    F = nn.functional
    torch.manual_seed(0)

    class Round(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale, bits):
            q = 2 ** (bits - 1) - 1
            ctx.save_for_backward(x, scale)
            ctx.q = q
            return torch.clamp(torch.round(x / scale), -q, q) * scale

        @staticmethod
        def backward(ctx, g):
            x, scale = ctx.saved_tensors
            mask = (x / scale).abs() <= ctx.q
            return (
                g * mask.to(g.dtype),
                (g * (torch.round(x / scale) - x / scale) * mask).sum().reshape(scale.shape),
                None,
            )

    class QLinear(nn.Linear):
        def __init__(self, *a, bits=4):
            super().__init__(*a)
            self.bits = bits
            self.scale = nn.Parameter(torch.tensor([0.1]))

        def forward(self, x):
            return F.linear(x, Round.apply(self.weight, self.scale, self.bits), self.bias)

    class Sign(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sign()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * (x.abs() <= 1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = QLinear(4, 8), QLinear(8, 2, bits=3)

        def forward(self, x):
            return self.b(Sign.apply(self.a(x)))

    net = part(Net())
    opt = torch.optim.SGD(net.parameters(), 0.1)

    @whole
    def step(x, y):
        opt.zero_grad()
        l = F.cross_entropy(net(x), y)
        l.backward()
        opt.step()
        return l

    return [step(torch.randn(6, 4), torch.randint(0, 2, (6,))).item() for _ in range(6)], ends(net)


@script(whole=[1], part=[2])
def vqvae(torch, whole, part):
    nn = torch.nn
    F = nn.functional
    torch.manual_seed(0)

    class VQ(nn.Module):
        def __init__(self, K=6, D=4, decay=0.9, eps=1e-5):
            super().__init__()
            self.decay, self.eps, self.K = decay, eps, K
            e = torch.randn(K, D)
            self.register_buffer("embedding", e)
            self.register_buffer("ema_count", torch.zeros(K))
            self.register_buffer("ema_weight", e.clone())

        def forward(self, x):
            flat = x.reshape(-1, x.size(-1))
            d = torch.addmm(
                torch.sum(self.embedding**2, dim=1) + torch.sum(flat**2, dim=1, keepdim=True),
                flat,
                self.embedding.t(),
                alpha=-2.0,
                beta=1.0,
            )
            idx = torch.argmin(d.float(), dim=-1)
            enc = F.one_hot(idx, self.K).float()
            q = F.embedding(idx, self.embedding).view_as(x)
            if self.training:
                self.ema_count = self.decay * self.ema_count + (1 - self.decay) * torch.sum(enc, dim=0)
                n = torch.sum(self.ema_count)
                self.ema_count = (self.ema_count + self.eps) / (n + self.K * self.eps) * n
                dw = torch.matmul(enc.t(), flat.detach())
                self.ema_weight = self.decay * self.ema_weight + (1 - self.decay) * dw
                self.embedding = self.ema_weight / self.ema_count.unsqueeze(-1)
            e_loss = F.mse_loss(x, q.detach())
            q = x + (q - x).detach()
            avg = enc.mean(0)
            ppl = torch.exp(-torch.sum(avg * torch.log(avg + 1e-10)))
            return q, 0.25 * e_loss, ppl

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.e, self.vq, self.d = nn.Linear(5, 4), VQ(), nn.Linear(4, 5)

        def forward(self, x):
            z, l, p = self.vq(self.e(x))
            return self.d(z), l, p

    net = part(Net())
    opt = torch.optim.Adam(net.parameters(), 1e-2, amsgrad=False)

    @whole
    def step(x):
        r, l, p = net(x)
        loss = F.mse_loss(r, x) / 0.5 + l
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss, p

    ls = [[t.item() for t in step(torch.randn(8, 5))] for _ in range(6)]
    net.eval()
    with torch.no_grad():
        r = net(torch.randn(2, 5))
    return ls, r, ends(net)


@script(whole=[1], part=[1])
def deq(torch, whole, part):
    nn = torch.nn
    torch.manual_seed(0)

    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, z, x):
            return torch.tanh(0.5 * self.a(z) + self.b(x))

    class DEQ(nn.Module):
        def __init__(self):
            super().__init__()
            self.f = Cell()

        def forward(self, x):
            with torch.no_grad():
                z = torch.zeros_like(x)
                for _ in range(12):
                    z = self.f(z, x)
            z = self.f(z, x)
            if not torch.is_grad_enabled():
                return z
            z0 = z.clone().detach().requires_grad_()
            f0 = self.f(z0, x)

            def backward_hook(grad):
                g = grad
                for _ in range(12):
                    g = torch.autograd.grad(f0, z0, g, retain_graph=True)[0] + grad
                return g

            z.register_hook(backward_hook)
            return z

    net = nn.Sequential(DEQ(), nn.Linear(4, 2))
    opt = torch.optim.Adam(net.parameters(), 1e-2)
    head = part(net[1])

    @whole
    def step(x, y):
        opt.zero_grad()
        l = nn.functional.cross_entropy(head(net[0](x)), y)
        l.backward()
        opt.step()
        return l

    ls = [step(torch.randn(5, 4), torch.randint(0, 2, (5,))).item() for _ in range(6)]
    with torch.no_grad():
        o = net(torch.ones(1, 4))
    return ls, o, ends(net)


@script(whole=[1], part=[1])
def pinn(torch, whole, part):
    nn = torch.nn
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
    lam = nn.Parameter(torch.tensor(1.0))
    opt = torch.optim.Adam([*net.parameters(), lam], 1e-2)
    mse = nn.MSELoss()

    def residual(x, t):
        x, t = x.requires_grad_(True), t.requires_grad_(True)
        u = net(torch.cat([x, t], 1))
        one = torch.ones_like(u)
        u_t = torch.autograd.grad(u, t, one, create_graph=True)[0]
        u_x = torch.autograd.grad(u, x, one, create_graph=True)[0]
        u_xx = torch.autograd.grad(u_x, x, torch.ones_like(u_x), create_graph=True)[0]
        return u_t + u * u_x - lam * u_xx

    @whole
    def step(x, t, x0, u0):
        opt.zero_grad()
        loss = mse(net(torch.cat([x0, torch.zeros_like(x0)], 1)), u0) + (residual(x, t) ** 2).mean()
        loss.backward()
        opt.step()
        return loss

    ls = []
    for _ in range(6):
        x0 = torch.rand(4, 1) * 2 - 1
        ls.append(step(torch.rand(6, 1) * 2 - 1, torch.rand(6, 1), x0, -torch.sin(math.pi * x0)).item())
    p = part(net)
    with torch.no_grad():
        o = p(torch.ones(2, 2))
    return ls, o, lam, ends(net)
