"""TRL: a small language model fine-tuned under `PrunedSFTTrainer`, an `SFTTrainer` with one more argument.

The texts are sums of two digits. The weights are random and the vocabulary is made here, so that nothing
is downloaded; with a model of yours, give its name instead.
"""

import random
import tempfile

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, set_seed
from trl import SFTConfig

from orderdp import OrderDP
from orderdp.integrations import PrunedSFTTrainer


def sums(count, seed):
    """Texts such as `7+5=12`, of which the answer is trained."""
    draw = random.Random(seed)
    pairs = [(draw.randrange(10), draw.randrange(10)) for _ in range(count)]
    return Dataset.from_list([{"prompt": f"{a}+{b}=", "completion": f"{a + b:02}"} for a, b in pairs])


def characters():
    vocabulary = {token: number for number, token in enumerate(["<pad>", "<end>", *"0123456789+="])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>")


@torch.no_grad()
def accuracy(model, tokenizer, data):
    """Share of the sums whose answer is right, in %."""
    texts = [row["prompt"] + row["completion"] for row in data]
    tokens = torch.tensor([tokenizer.encode(text) for text in texts])
    answers = model.eval()(tokens).logits.argmax(2)[:, 3:5]
    return 100 * float((answers == tokens[:, 4:6]).all(1).float().mean())


def network(tokenizer):
    """A language model of two layers, with random weights."""
    shape = {"n_positions": 16, "n_embd": 64, "n_layer": 2, "n_head": 4}
    return GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), eos_token_id=1, **shape))


def report(model, tokenizer, test, pruner):
    print(
        f"accuracy {accuracy(model, tokenizer, test):.1f} %, trained on"
        f" {100 * (1 - pruner.realised_prune_ratio):.2f} % of the samples an epoch"
    )


def main():
    set_seed(0)
    train, test, tokenizer = sums(1000, 0), sums(200, 1), characters()
    model = network(tokenizer)
    pruner = OrderDP(len(train), explore=0.5, exploit=0.6, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            output_dir=folder,
            num_train_epochs=40,
            per_device_train_batch_size=32,
            learning_rate=3e-3,
            max_length=16,
            bf16=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = PrunedSFTTrainer(
            model=model, args=arguments, train_dataset=train, processing_class=tokenizer, pruner=pruner
        )
        trainer.train()
    report(model, tokenizer, test, pruner)


if __name__ == "__main__":
    main()
