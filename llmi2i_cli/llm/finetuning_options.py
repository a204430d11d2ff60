"""What the language models are fine-tuned with, as asked for: every option and its default, at one place.

Light to import, so telling what is up to date stays quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

from llmi2i_cli.errors import UsageError
from llmi2i_cli.llm.deepspeed_config import own_file

FULL_SOFTMAX_ITEMS = 1_000_000  # up to so many items `--softmax auto` compares a target with all of them

DEFAULT_BASE = "llama-tiny"

Attention = Literal["auto", "sdpa", "flash_attention_2"]
Softmax = Literal["auto", "full", "sampled"]
PromptStyle = Literal["titles", "items", "bare"]
ChatTemplate = Literal["auto", "none"]
Negatives = Literal["uniform", "popularity", "generator"]


@dataclass(frozen=True, kw_only=True)
class FineTuningOptions:
    """What both models are fine-tuned with; None means the base's own default.

    Attributes
    ----------
    base_model : a preset, a local directory or a hub id; None: what the stage chooses
    earlier : a work directory, or a checkpoint of ours in it, whose training goes on; None: it begins with the base
    epochs : passes over the users
    batch_size : users per step, over all processes
    gradient_accumulation : parts that a step's users are worked on in
    max_length : tokens per user
    lora : rank of low-rank matrices that are trained in place of the base's own weights; None: all weights are
    lora_alpha : what these matrices learn counts alpha / rank; None: twice the rank
    deepspeed : a DeepSpeed configuration of the user's own, or the name of a shipped one
    prompt : how much of it is text: an instruction and each item with its title, the instruction and item tokens alone,
        or nothing but item tokens; None: titles for a base that comes with weights, bare for a preset
    chat_template : whether a base that has a chat template is addressed through it
    template : text that replaces the instruction
    checkpoint_steps : steps between checkpoints, 0 for one per epoch; has no say in the result
    """

    STAGE: ClassVar[str]  # whose checkpoint of an earlier work directory is meant
    PATHS: ClassVar[tuple[str, ...]] = ("earlier", "deepspeed", "template")

    base_model: str | None = None
    earlier: Path | None = None
    epochs: float | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    gradient_accumulation: int = 1
    max_length: int | None = None
    seed: int = 42
    lora: int | None = None
    lora_alpha: float | None = None
    deepspeed: Path | None = None
    prompt: PromptStyle | None = None
    chat_template: ChatTemplate = "auto"
    template: Path | None = None
    checkpoint_steps: int = 0

    @classmethod
    def from_manifest(cls, options: Mapping[str, Any]) -> Self:
        """What a run was asked for, from its manifest's `options`, which may hold more; JSON has paths as text."""
        own = {each.name: options[each.name] for each in fields(cls) if each.name in options}
        paths = {name: Path(given) for name in cls.PATHS if (given := own.get(name))}
        return cls(**{**own, **paths})

    def check(self) -> None:
        """UsageError for the first option that cannot be."""
        if self.earlier is not None and self.base_model is not None:
            raise UsageError("what --from names has a base model of its own: leave --base-model out")
        if self.prompt == "bare" and self.template is not None:
            raise UsageError("--prompt bare has no text, and --template gives one: leave one of them out")
        if self.lora_alpha is not None and self.lora is None:
            raise UsageError("--lora-alpha scales what --lora RANK learns: give both, or neither")
        check_positive(epochs=self.epochs, learning_rate=self.learning_rate, lora=self.lora, lora_alpha=self.lora_alpha)

    def check_earlier(self, workdir: Path) -> None:
        """UsageError for an earlier checkpoint that the stages of `workdir` replace: they would never be up to date."""
        replaced = {(workdir / stage).resolve() for stage in ("sft-gen", "sft-disc")}
        if self.earlier_checkpoint and replaced & set(self.earlier_checkpoint.resolve().parents):
            raise UsageError(
                f"--from {self.earlier} is what this run would replace: "
                "copy the work directory (cp -al) and name the copy"
            )

    def decisive(self) -> dict[str, Any]:
        """The options that decide the result, as the stage's manifest lists them: all but `checkpoint_steps`."""
        return {name: value for name, value in vars(self).items() if name != "checkpoint_steps"}

    def own_files(self) -> list[Path]:
        """The user's own files and directories that the options name: they are inputs of the stage."""
        base = Path(self.base_model) if self.base_model and Path(self.base_model).is_dir() else None
        files = (self.template, own_file(self.deepspeed), base, self.earlier_checkpoint)
        return [path for path in files if path is not None]

    @property
    def earlier_checkpoint(self) -> Path | None:
        """What `earlier` means: the model that was trained in a work directory, or the directory itself."""
        if self.earlier is None:
            return None
        trained = self.earlier / self.STAGE / "model"
        return trained if trained.is_dir() else self.earlier


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions(FineTuningOptions):
    """What `sft-gen` is asked for.

    Attributes
    ----------
    base_model : None: `DEFAULT_BASE`
    attention : the attention kernel
    word_vectors : text file of vectors that a preset's words start from; None: at random
    alpha, beta : loss weight of a long-tail target and of any other, eq. (2) of the paper
    patience : epochs without a better validation figure before the training ends; 0: all epochs
    stop_after : epochs after which the training ends, while the learning rate falls as for all of them; None: all
    softmax : items that a target is compared with: all, or a sample
    sampled_items : items drawn a step by a sampled softmax
    """

    STAGE = "sft-gen"
    PATHS = (*FineTuningOptions.PATHS, "word_vectors")

    attention: Attention = "auto"
    word_vectors: Path | None = None
    alpha: float = 4.0
    beta: float = 1.0
    patience: int = 0
    stop_after: float | None = None
    softmax: Softmax = "auto"
    sampled_items: int = 8192

    def check(self) -> None:
        """UsageError for the first option that cannot be."""
        for name, weight in (("--alpha", self.alpha), ("--beta", self.beta)):
            if weight < 0:
                raise UsageError(f"{name} is a weight and cannot be negative: {weight}")
        if self.alpha == self.beta == 0:
            raise UsageError("--alpha and --beta are both 0: nothing would be learnt")
        if self.softmax not in get_args(Softmax):
            raise UsageError(f"--softmax is auto, full or sampled, not {self.softmax}")
        super().check()
        check_positive(sampled_items=self.sampled_items, stop_after=self.stop_after)

    def own_files(self) -> list[Path]:
        return [*super().own_files(), *([self.word_vectors] if self.word_vectors else [])]

    def samples(self, n_items: int) -> bool:
        """Whether the softmax of a catalogue of this size runs over a sample of it."""
        return self.softmax == "sampled" or (self.softmax == "auto" and n_items > FULL_SOFTMAX_ITEMS)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorOptions(FineTuningOptions):
    """What `sft-disc` is asked for.

    Attributes
    ----------
    base_model : None: the held-back generator where there is one, else the generator's own base
    negatives : where the No examples come from
    negatives_per_positive : No examples for each Yes
    calibration : slope and intercept of the log-odds (see `llm.calibration`); None: fitted on validation
    """

    STAGE = "sft-disc"

    negatives: Negatives = "generator"
    negatives_per_positive: int = 15
    calibration: tuple[float, float] | None = None

    def check(self) -> None:
        """UsageError for the first option that cannot be."""
        if self.negatives not in get_args(Negatives):
            raise UsageError(f"--negatives is uniform, popularity or generator, not {self.negatives}")
        if self.calibration is not None and not self.calibration[0] > 0:
            raise UsageError(f"--calibration begins with a slope above 0, not {self.calibration[0]:g}")
        if self.negatives_per_positive < 1:
            raise UsageError(f"--negatives-per-positive must be at least 1, not {self.negatives_per_positive}")
        super().check()


def check_positive(**options: float | None) -> None:
    """UsageError for the first option (``learning_rate`` is ``--learning-rate``) that is given and not above 0."""
    for name, value in options.items():
        if value is not None and not value > 0:
            raise UsageError(f"--{name.replace('_', '-')} must be above 0, not {value}")
