"""A GPT that invents names, written on scalars: every weight, every activation and the loss is a glassgrad Value.

    python examples/names_gpt.py                    # learns from ../shared/data/names.txt
    python examples/names_gpt.py poems.txt          # or from any text, one document a line
    python examples/names_gpt.py --batch 16         # from sixteen at a time
    python examples/names_gpt.py --eager            # one scalar operation after the other, without compiling
    python examples/names_gpt.py --help             # its size, the number of steps, the learning rate

It reads a name letter by letter and guesses, at each letter, which one comes next. Token and position embeddings,
rmsnorm, multi-head causal attention, a ReLU MLP, Adam: what a large language model is made of, eight orders of
magnitude smaller. Read from top to bottom: data, model, training, invention.

glassgrad.compile makes tensor instructions of the loss, once; every document then runs the same ones.
"""

import argparse
import math
import os
import random
import sys
import time
from importlib.util import find_spec
from itertools import cycle, pairwise
from operator import add
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import glassgrad
from glassgrad import Value, dot, logsumexp, no_grad, take
from glassgrad.optim import Adam

NAMES = Path(__file__).resolve().parents[2] / "shared" / "data" / "names.txt"


# ---- data: documents become lists of small integers, the tokens ----------------------------------------------------


def read_documents(path):
    """The lines of a text file, without empty ones."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        reason = "it holds zero bytes, as no text does" if "\0" in text else None
    except (OSError, UnicodeDecodeError) as error:
        reason = error
    if reason:
        sys.exit(f"names_gpt: cannot read {path}: {reason}. Give it a text file, one document a line:\n"
                 f"    python {sys.argv[0]} FILE")  # fmt: skip
    documents = [line.strip() for line in text.splitlines() if line.strip()]
    return documents or sys.exit(f"names_gpt: {path} is empty; it needs one document a line")


class Tokenizer:
    """One token for each character, and one, END, that stands before and behind every document."""

    def __init__(self, documents):
        self.characters = sorted(set("".join(documents)))
        self.numbers = {character: token for token, character in enumerate(self.characters)}
        self.END = len(self.characters)
        self.size = self.END + 1

    def encode(self, document):
        return [self.END, *(self.numbers[character] for character in document), self.END]

    def decode(self, tokens):
        return "".join(self.characters[token] for token in tokens)


def guesses(tokens, most, pad):
    """The tokens of a document, cut to so many guesses, and how much each guess counts: together 1.

    Padded, all documents have the same size, and what is guessed behind the end of one counts 0.
    """
    tokens = tokens[: most + 1]
    count = len(tokens) - 1
    missing = most - count if pad else 0
    return tokens + tokens[:1] * missing, [1 / count] * count + [0.0] * missing


# ---- model: a vector is a list of Values, a matrix is a list of rows -----------------------------------------------


def linear(matrix, x):
    return [dot(row, x) for row in matrix]


def plus(x, y):
    return list(map(add, x, y))


def rmsnorm(x):
    """x scaled so that the mean of its squares is 1."""
    scale = (dot(x, x) / len(x) + 1e-5) ** -0.5
    return [xi * scale for xi in x]


def softmax(logits):
    """Positive numbers that sum to 1, larger for larger logits: the shares of the exponentials in their sum."""
    log_of_sum = logsumexp(logits)  # log(sum of exp(logit)), without overflow
    return [(logit - log_of_sum).exp() for logit in logits]


def cross_entropy(logits, target):
    """-log softmax(logits)[target]: 0 for a target that was certain, large for one that was thought impossible."""
    return logsumexp(logits) - take(logits, target)


class Block:
    """One layer: attention moves information between positions, the MLP works on each position alone."""

    def __init__(self, width, heads, matrix):
        self.heads = heads
        self.query, self.key, self.value, self.output = (matrix(width, width) for _ in range(4))
        self.wide, self.narrow = matrix(4 * width, width), matrix(width, 4 * width)

    def attention(self, x, past):
        """Every head compares its query with the keys so far, and mixes the values there accordingly.

        `past` has the keys and values of this and earlier positions only: that is what makes it causal.
        """
        query, key, value = linear(self.query, x), linear(self.key, x), linear(self.value, x)
        past.append((key, value))
        size = len(x) // self.heads
        mixed = []
        for start in range(0, len(x), size):
            part = slice(start, start + size)
            weights = softmax([dot(query[part], key[part]) * size**-0.5 for key, _ in past])
            columns = zip(*(value[part] for _, value in past), strict=True)
            mixed += [dot(weights, column) for column in columns]
        return linear(self.output, mixed)

    def mlp(self, x):
        return linear(self.narrow, [h.relu() for h in linear(self.wide, x)])

    def __call__(self, x, past):
        x = plus(x, self.attention(rmsnorm(x), past))
        return plus(x, self.mlp(rmsnorm(x)))


class GPT:
    """Tokens in, logits out: how likely each token is to come next."""

    def __init__(self, tokens, width=16, heads=4, layers=1, context=16, seed=42):
        generator = random.Random(seed)
        self.weights = []

        def matrix(rows, columns):
            made = [[Value(generator.gauss(0, 0.08)) for _ in range(columns)] for _ in range(rows)]
            self.weights += [weight for row in made for weight in row]
            return made

        self.context = context
        self.tokens, self.positions = matrix(tokens, width), matrix(context, width)
        self.blocks = [Block(width, heads, matrix) for _ in range(layers)]
        self.unembedding = matrix(tokens, width)

    def start(self):
        """An empty past, for each layer."""
        return [[] for _ in self.blocks]

    def __call__(self, token, pasts):
        """A logit for each token that could come after this one; appends to the past."""
        x = rmsnorm(plus(take(self.tokens, token), self.positions[len(pasts[0])]))
        for block, past in zip(self.blocks, pasts, strict=True):
            x = block(x, past)
        return linear(self.unembedding, x)

    def loss(self, tokens, weights):
        """The cross entropy of the tokens of one document, each guessed from those before it, times its weight."""
        pasts = self.start()
        return dot(weights, [cross_entropy(self(token, pasts), following) for token, following in pairwise(tokens)])


# ---- training ------------------------------------------------------------------------------------------------------


def train(model, documents, steps, lr, batch=1, eager=False):
    """Some documents a step. Yields the loss of each step."""

    def loss(tokens, weights):
        """The mean over a batch of documents."""
        return glassgrad.mean(glassgrad.vmap(model.loss)(tokens, weights))

    if batch == 1:
        loss = model.loss
    if not eager:
        loss = glassgrad.compile(loss)
    optimizer = Adam(model.weights, lr=lr, betas=(0.85, 0.99))
    most = min(model.context, max(map(len, documents)) - 1)  # as many as the context holds, or the longest document
    coming = cycle(guesses(tokens, most, pad=not eager) for tokens in documents)
    for step in range(steps):
        rows = [next(coming) for _ in range(batch)]
        tokens, weights = rows[0] if batch == 1 else map(list, zip(*rows, strict=True))
        optimizer.zero_grad()
        result = loss(tokens, weights)
        result.backward()
        optimizer.lr = lr * (1 - step / steps)  # large steps first, small ones to settle
        optimizer.step()
        yield result.data


def watch(losses, steps, eager):
    """Run the training and show how the loss falls, averaged since one name alone says little; Ctrl-C ends it."""
    console = Console()
    texts = TextColumn("{task.description}"), TextColumn("loss {task.fields[loss]:.3f}")
    columns = BarColumn(32), MofNCompleteColumn(), *texts, TimeRemainingColumn()
    mean, start = 0.0, time.perf_counter()
    first = "" if eager or not steps else "compiling ..."  # what the first step is busy with
    if first and not console.is_terminal:
        print(first, flush=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(first, total=steps, loss=math.nan)
        try:
            for step, loss in enumerate(losses, 1):
                mean += (loss - mean) / min(step, 100)
                bar.update(task, advance=1, loss=mean, description="")
                if not console.is_terminal and (step % max(steps // 10, 1) == 0 or step == 1):
                    passed = time.perf_counter() - start
                    print(f"step {step:5} of {steps}   loss {mean:.3f}   {passed:5.1f} s", flush=True)
        except KeyboardInterrupt:
            print("stopped: here is what it has learned so far")


# ---- invention -----------------------------------------------------------------------------------------------------


@no_grad()
def invent(model, tokenizer, temperature, generator):
    """A new document, token by token; a low temperature makes it more likely, a high one more adventurous."""
    tokens, pasts = [tokenizer.END], model.start()
    while len(tokens) <= model.context:
        probabilities = softmax([logit / temperature for logit in model(tokens[-1], pasts)])
        (token,) = generator.choices(range(tokenizer.size), [p.data for p in probabilities])
        if token == tokenizer.END:
            break
        tokens.append(token)
    return tokenizer.decode(tokens[1:])


def between(least, most):
    """Reads an option: a number of the bounds' type that lies between them."""

    def read(text):
        try:
            number = type(least)(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            kind = "a whole number" if isinstance(least, int) else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {kind} from {least} to {most}")
        return number

    return read


def main():
    options = argparse.ArgumentParser(description="A character-level GPT on scalar Values, which invents names.")
    options.add_argument("file", nargs="?", type=Path, default=NAMES, help="text, one document a line (names.txt)")
    for name, default, least, most, text in [
        ("steps", 1000, 0, 10**9, "training steps"), ("batch", 1, 1, 10**6, "documents a step"),
        ("lr", 0.01, 1e-9, 10.0, "learning rate at the start"),
        ("layers", 1, 1, 100, "blocks of attention and MLP"), ("width", 16, 1, 1000, "numbers in an embedding"),
        ("heads", 4, 1, 1000, "attention heads"), ("context", 16, 1, 10**6, "characters it sees of a document"),
        ("samples", 20, 0, 10**9, "documents to invent"), ("temperature", 0.5, 0.01, 100.0, "how adventurous they are"),
        ("seed", 42, 0, 2**63, "of everything random"),
    ]:  # fmt: skip
        options.add_argument(
            f"--{name}", type=between(least, most), default=default, metavar="N", help=f"{text} ({default})"
        )
    options.add_argument("--eager", action="store_true", help="train without compiling, which is slower")
    given = options.parse_args()
    if given.width % given.heads:
        options.error(f"--width {given.width} must be a multiple of --heads {given.heads}")

    generator = random.Random(given.seed)
    documents = read_documents(given.file)
    generator.shuffle(documents)
    tokenizer = Tokenizer(documents)
    model = GPT(tokenizer.size, given.width, given.heads, given.layers, given.context, given.seed)
    count = f"{len(documents):,} documents"
    print(f"{count}, {tokenizer.size} tokens, {len(model.weights):,} parameters")
    if cut := sum(len(document) > given.context for document in documents):
        print(f"{cut:,} of {count} are longer than {given.context} characters and are cut (--context)")
    eager = given.eager
    if not eager and find_spec("numpy") is None:
        print("compiling needs NumPy (pip install numpy); without it the training is slower")
        eager = True
    training = train(model, list(map(tokenizer.encode, documents)), given.steps, given.lr, given.batch, eager)
    watch(training, given.steps, eager)
    for _ in range(given.samples):
        print(invent(model, tokenizer, given.temperature, generator), flush=True)


if __name__ == "__main__":
    try:
        main()
    except ArithmeticError as error:
        sys.exit(f"names_gpt: the numbers left the range of floats, a smaller --lr keeps them in: {error}")
    except KeyboardInterrupt:  # outside of the training: the names invented so far stand above
        sys.exit(130)
    except BrokenPipeError:  # whoever read this has gone, as in `names_gpt.py | head -3`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
