"""A language model under the `Trainer` of Transformers: the task of `with_trl.py`, with the texts tokenized here.

The loss of a sample is the mean over its tokens whose label is not -100: those of the answer. A sample that is longer
counts no more than a short one, and padding does not count.
"""

import tempfile

import torch
from transformers import DataCollatorForSeq2Seq, TrainingArguments, set_seed
from with_trl import characters, network, report, sums

from orderdp import OrderDP
from orderdp.integrations import PrunedTrainer


def tokenized(data, tokenizer):
    """Samples as the model takes them; the labels of the prompt are -100."""
    samples = []
    for row in data:
        prompt, answer = tokenizer.encode(row["prompt"]), tokenizer.encode(row["completion"])
        samples.append({"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer})
    return samples


def main():
    set_seed(0)
    train, test, tokenizer = sums(1000, 0), sums(200, 1), characters()
    model = network(tokenizer)
    pruner = OrderDP(len(train), explore=0.5, exploit=0.6, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=40,
            per_device_train_batch_size=32,
            learning_rate=3e-3,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = PrunedTrainer(
            model=model,
            args=arguments,
            train_dataset=tokenized(train, tokenizer),
            data_collator=DataCollatorForSeq2Seq(tokenizer),
            pruner=pruner,
        )
        trainer.train()
    report(model, tokenizer, test, pruner)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
