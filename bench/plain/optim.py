"""Adam as a program on plain scalars writes it: a loop over the parameters."""


class Adam:
    def __init__(self, parameters, lr, betas, eps=1e-8):
        self.parameters, self.lr, self.betas, self.eps = parameters, lr, betas, eps
        self.steps = 0
        self.m = [0.0] * len(parameters)
        self.v = [0.0] * len(parameters)

    def zero_grad(self):
        for p in self.parameters:
            p.grad = 0

    def step(self):
        self.steps += 1
        beta1, beta2 = self.betas
        bias1, bias2 = 1 - beta1**self.steps, 1 - beta2**self.steps
        for i, p in enumerate(self.parameters):
            self.m[i] = beta1 * self.m[i] + (1 - beta1) * p.grad
            self.v[i] = beta2 * self.v[i] + (1 - beta2) * p.grad**2
            p.data -= self.lr * (self.m[i] / bias1) / ((self.v[i] / bias2) ** 0.5 + self.eps)
