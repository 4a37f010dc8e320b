"""What a recipe may say. Unknown keys are refused; :mod:`teichaku.recipes.load` finds the lines."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A part of a recipe: nothing but what is named here may stand in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Columns(Section):
    """Which columns of tables (or keys of JSON) hold what. Empty: guessed, all as text."""

    text: list[str] = Field([], description="Columns that make the text, in this order.")
    title: str = Field("", description="Column with the title: the name of what a row is about.")
    source: str = Field("", description="Column with a URL or another source.")
    licence: str = Field("", description="Column with the licence.")
    date: str = Field("", description="Column with the date.")


class Documents(Section):
    """Where the documents are."""

    paths: list[str] = Field(
        min_length=1, description="Files, folders or globs, relative to the recipe."
    )
    passage_characters: int = Field(
        800, ge=50, description="About how long a passage may be; longer costs teacher context."
    )
    columns: Columns = Field(Columns(), description="For CSV, TSV, JSON and JSONL.")
    limit: int | None = Field(None, ge=1, description="Use only so many documents (by their ids).")


class LlamaCpp(Section):
    """A GGUF model in process, through llama.cpp."""

    backend: Literal["llama_cpp"]
    model: str = Field(
        description="A packaged name (teichaku models), a Hugging Face name, or a GGUF file."
    )
    context_tokens: int = Field(4096, ge=256, description="Context of one slot; costs memory.")
    slots: int | None = Field(None, ge=1, description="Requests at a time; none: by processor.")
    licence: str = ""


class Http(Section):
    """Any OpenAI-compatible server."""

    backend: Literal["http"]
    model: str = Field(description="The name that the server knows.")
    base_url: str = Field(description="Such as http://localhost:8000/v1")
    api_key_env: str = Field(
        "", description="Name of the environment variable with the key; never the key itself."
    )
    max_concurrency: int = Field(32, ge=1, description="Requests in flight at a time.")
    timeout_seconds: float = Field(600, gt=0, description="How long one request may take.")
    max_retries: int = Field(6, ge=0, description="Retries of one request before it is given up.")
    structured: Literal["auto", "json_schema", "prompt"] = Field(
        "auto", description="How JSON is asked for; auto falls back to the prompt."
    )
    extra: dict[str, Any] = Field({}, description="More fields for the request body.")
    licence: str = ""


class Transformers(Section):
    """A model through transformers: the student, on CPU or CUDA."""

    backend: Literal["transformers"]
    model: str = Field(description="A packaged name, a Hugging Face name, or a folder.")
    batch_size: int = Field(32, ge=1, description="Answers generated at a time.")
    licence: str = ""


class Scripted(Section):
    """A deterministic stand-in without weights: to try a recipe out in seconds."""

    backend: Literal["scripted"]
    model: str = "scripted"
    seconds: float = Field(0.0, ge=0, description="How long every reply takes.")
    licence: str = ""


class SameAs(Section):
    """The model of another role."""

    model: Literal["teacher"]


Chat = Annotated[LlamaCpp | Http | Scripted, Field(discriminator="backend")]
StudentModel = Annotated[Transformers | Scripted, Field(discriminator="backend")]


class Generation(Section):
    """How the teacher chooses its words."""

    temperature: float = Field(0.7, ge=0, le=2)
    top_p: float = Field(0.9, gt=0, le=1)
    max_tokens: int = Field(1024, ge=16)


class DocumentQA(Section):
    """S5: so many question-answer pairs a passage."""

    method: Literal["document_qa"]
    per_passage: int = Field(8, ge=1, description="Pairs in one reply.")
    samples: int = Field(1, ge=1, description="Replies a passage.")
    generation: Generation = Generation()


class CategoryQA(Section):
    """S1: few-shot questions by category."""

    method: Literal["category_qa"]
    per_passage: int = Field(1, ge=1, description="Questions a passage (S1: one).")
    categories: str = Field(
        "academic", description="A built-in set of categories, or a YAML file of your own."
    )
    generation: Generation = Generation(max_tokens=512)


Method = Annotated[DocumentQA | CategoryQA, Field(discriminator="method")]


class Adapter(Section):
    """LoRA."""

    kind: Literal["lora"] = "lora"
    rank: int = Field(16, ge=1, description="More rank holds more facts.")
    alpha: float = Field(32, gt=0, description="Scale of the adapter; twice the rank is usual.")
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: list[str] = Field([], description="Names of layers; none: all linear layers.")
    quantization: Literal["", "4bit"] = Field("", description="4bit is QLoRA and needs CUDA.")


class Probe(Section):
    """Questions asked closed book before training and after each epoch."""

    questions: int | None = Field(24, ge=0, description="How many; 0: no probe; none: all.")


class Training(Section):
    """Supervised fine-tuning, loss on the answer only."""

    objective: Literal["sft"] = "sft"
    epochs: int = Field(3, ge=1)
    batch_size: int = Field(4, ge=1, description="Examples a step.")
    learning_rate: float = Field(3e-4, gt=0, description="1e-4 to 5e-4 for 7B, to 1e-3 below 1B.")
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_share: float = Field(0.05, ge=0, lt=1, description="Share of the steps to warm up in.")
    weight_decay: float = Field(0.0, ge=0)
    clip_norm: float = Field(1.0, ge=0)
    max_tokens: int = Field(512, ge=16, description="Longer examples are cut, and counted.")
    checkpoint_every_steps: int = Field(50, ge=1)
    adapter: Adapter = Adapter()
    probe: Probe = Probe()


class ArmTraining(Section):
    """What an arm trains with, where it differs from the recipe's ``training``."""

    epochs: int | None = Field(None, ge=1)
    batch_size: int | None = Field(None, ge=1)
    learning_rate: float | None = Field(None, gt=0)
    schedule: Literal["cosine", "constant"] | None = None
    adapter: Adapter | None = None


class Arm(Section):
    """One way to teach. ``matrix`` makes an arm of every combination of its values."""

    examples: list[Method] = Field(min_length=1, description="Which methods make its examples.")
    training: ArmTraining = ArmTraining()
    matrix: dict[str, list[Any]] = Field(
        {}, description="Such as training.learning_rate: [1e-4, 3e-4] or student.model: [a, b]"
    )


class Grounded(Section):
    """The passage supports the answer."""

    name: Literal["grounded"]
    threshold: float = Field(0.8, ge=0, le=1, description="Least share of supported content.")
    judge: bool = Field(False, description="Ask the judge where containment cannot tell.")


class NamedFilter(Section):
    """A filter without settings."""

    name: Literal[
        "self_contained", "duplicates", "language", "question_is_answer", "copied_question"
    ]


Filter = Annotated[Grounded | NamedFilter, Field(discriminator="name")]


class HoldOut(Section):
    """Examples kept out of training altogether."""

    per_category: int = Field(0, ge=0, description="S1: 10 a category.")


class Questions(Section):
    """The one fixed set of questions that every arm answers."""

    per_document: int = Field(8, ge=1, description="Questions in trained wording a document.")
    kinds: list[Literal["trained", "held_out"]] = ["trained", "held_out"]
    attempts: int = Field(2, ge=1, description="Tries for a held-out wording.")
    hold_out: HoldOut = HoldOut()


class JudgeSettings(Section):
    """How much the judge marks."""

    questions: int | None = Field(
        None, ge=0, description="Mark the answers to so many questions; none: to all; 0: to none."
    )
    epochs: bool = Field(False, description="Mark the probes of every epoch too (S1's figure).")
    open_book: bool = Field(False, description="Mark open-book answers too.")


class Evaluation(Section):
    """How the arms are compared."""

    conditions: list[Literal["closed_book", "open_book"]] = ["closed_book", "open_book"]
    scorers: list[Literal["exact", "containment", "character_f1", "judge_absolute"]] = [
        "containment",
        "exact",
        "character_f1",
        "judge_absolute",
    ]
    select: Literal["best", "last"] = Field(
        "best", description="Which checkpoint of an arm is evaluated in full: by probe, or last."
    )
    max_tokens: int = Field(96, ge=1, description="Longest answer of a student.")
    judge: JudgeSettings = JudgeSettings()


class Recipe(Section):
    """A whole study."""

    name: str = Field(pattern=r"^[\w.-]+$", description="Names the run's folder.")
    language: str = Field("ja", description="ISO 639-1 code of the documents' language.")
    seed: int = 0
    documents: Documents
    teacher: Chat
    student: StudentModel
    judge: Chat | SameAs = SameAs(model="teacher")
    arms: dict[str, Arm] = Field(min_length=1)
    curation: list[Filter] = [
        NamedFilter(name="language"),
        NamedFilter(name="question_is_answer"),
        NamedFilter(name="copied_question"),
        NamedFilter(name="self_contained"),
        Grounded(name="grounded"),
        NamedFilter(name="duplicates"),
    ]
    questions: Questions = Questions()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    prompts: str | None = Field(None, description="A folder whose prompts go before the built-in.")

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        """``curation: [grounded]`` means ``curation: [{name: grounded}]``."""
        if isinstance(data, dict) and isinstance(data.get("curation"), list):
            filters = [
                {"name": item} if isinstance(item, str) else item for item in data["curation"]
            ]
            return {**data, "curation": filters}
        return data
