"""Hugging Face Transformers: a small vision transformer under `PrunedTrainer`, a `Trainer` with one more argument."""

import tempfile

import torch
from digits import correct, digits
from torch.utils.data import Dataset
from transformers import TrainingArguments, ViTConfig, ViTForImageClassification, set_seed

from orderdp import OrderDP
from orderdp.integrations import PrunedTrainer


class Images(Dataset):
    """Samples as the dicts that Transformers' models take."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        image, label = self.data[index]
        return {"pixel_values": image.view(1, 8, 8) * 2 - 1, "labels": label}


def accuracy(prediction):
    return {"accuracy": correct(torch.as_tensor(prediction.predictions), torch.as_tensor(prediction.label_ids))}


def main():
    set_seed(0)
    train, test = (Images(part) for part in digits())
    shape = {"image_size": 8, "patch_size": 2, "num_channels": 1, "num_labels": 10}
    size = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    model = ViTForImageClassification(ViTConfig(**shape, **size))
    pruner = OrderDP(len(train), explore=0.5, exploit=0.6, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=20,
            per_device_train_batch_size=32,
            per_device_eval_batch_size=359,
            learning_rate=2e-3,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = PrunedTrainer(
            model=model, args=arguments, train_dataset=train, eval_dataset=test, compute_metrics=accuracy, pruner=pruner
        )
        trainer.train()
        result = trainer.evaluate()
    print(
        f"accuracy {result['eval_accuracy']:.1f} %, trained on {100 * (1 - pruner.prune_ratio):.2f} % of the samples an"
        " epoch"
    )


if __name__ == "__main__":
    main()
