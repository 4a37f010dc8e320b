"""What a recipe may say. Unknown keys are refused; :mod:`teichaku.recipes.load` finds the lines."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from teichaku.evaluation.benchmarks.catalogue import shipped
from teichaku.recipes.embedder_schema import EmbedderModel, HttpEmbedder, NgramEmbedder
from teichaku.recipes.evaluation_schema import Evaluation, room_of_one
from teichaku.recipes.filter_schema import DEFAULT_FILTERS, Filter
from teichaku.recipes.language_model_schema import (
    LanguageModelSection,
    ScoredByNgrams,
    ScoredByServer,
    ScoredByStudent,
)
from teichaku.recipes.leaks_schema import Leaks
from teichaku.recipes.method_schema import SEED_METHODS, TEXT_METHODS, Method
from teichaku.recipes.mix_schema import MixSection
from teichaku.recipes.model_schema import (
    Chat,
    Http,
    Judge,
    Price,
    SameAs,
    StudentModel,
    Transformers,
)
from teichaku.recipes.names import ArmName, Name, language_code, not_full
from teichaku.recipes.novelty_schema import LIKELIHOOD, Novelty
from teichaku.recipes.section import Section
from teichaku.recipes.select_schema import (
    Select,
    SelectDifficulty,
    SelectImportance,
    SelectPerplexity,
)


class Columns(Section):
    """Which columns of tables (or keys of JSON) hold what. Empty: guessed, all as text."""

    text: list[str] = Field(
        [], description="Columns that make the text, in this order; the others are left out."
    )
    title: str = Field("", description="Column with the title: the name of what a row is about.")
    source: str = Field("", description="Column with a URL or another source.")
    licence: str = Field("", description="Column with the licence.")
    date: str = Field("", description="Column with the date.")
    attribution: str = Field("", description="Column with whom to name; empty: guessed.")


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


class Seeds(Section):
    """Instructions written by people, which methods for instructions begin with."""

    path: str = Field(description="A file of instructions, relative to the recipe.")
    licence: str = Field("", description="The licence of the seeds, for the data card.")
    limit: int | None = Field(None, ge=1, description="Use only so many seeds (by their ids).")
    include: bool = Field(True, description="Put the seeds themselves into the data, too.")


class Until(Section):
    """Ask again for facts that too few examples state."""

    statements_per_fact: int = Field(ge=1, description="Examples that state a fact, at least.")
    rounds: int = Field(3, ge=1, description="How often what is lacking is asked for.")


class Budget(Section):
    """What a run may spend; it stops cleanly before it spends more."""

    tokens: int | None = Field(None, ge=1, description="Tokens of prompts and replies together.")
    price: float | None = Field(None, gt=0, description="In the currency of the prices.")


class Adapter(Section):
    """LoRA."""

    kind: Literal["lora"] = "lora"
    rank: int = Field(16, ge=1, description="More rank holds more facts.")
    alpha: float = Field(32.0, gt=0, description="Scale of the adapter; twice the rank is usual.")
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
    seed: int | None = Field(
        None, description="What the adapter and the order of the examples begin with; none: 'seed'."
    )
    checkpoint_every_steps: int = Field(50, ge=1)
    adapter: Adapter = Adapter()
    probe: Probe = Probe()


class ArmAdapter(Section):
    """Where an arm's adapter differs from the recipe's; null is as the recipe says."""

    kind: Literal["lora"] | None = None
    rank: int | None = Field(None, ge=1)
    alpha: float | None = Field(None, gt=0)
    dropout: float | None = Field(None, ge=0, lt=1)
    targets: list[str] | None = None
    quantization: Literal["", "4bit"] | None = None


class ArmTraining(Section):
    """Where an arm's training differs from the recipe's ``training``; null is as that says."""

    epochs: int | None = Field(None, ge=1)
    batch_size: int | None = Field(None, ge=1)
    learning_rate: float | None = Field(None, gt=0)
    schedule: Literal["cosine", "constant"] | None = None
    seed: int | None = None
    adapter: ArmAdapter | None = None


class Arm(Section):
    """One way to teach. ``matrix`` makes an arm of every combination of its values."""

    examples: list[Method] = Field([], description="Which methods make its examples.")
    mix: MixSection | None = Field(None, description="Examples from data of others, by weights.")
    facts: bool = Field(False, description="List the facts too, to count what states them.")
    until: Until | None = None
    characters: int | None = Field(
        None, ge=1, description="Keep so many characters of examples, to compare arms of one size."
    )
    select: Select | None = Field(
        None, description="Train on some of what passed the filters, with controls beside it."
    )
    training: ArmTraining = ArmTraining()
    matrix: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        {}, description="Such as training.learning_rate: [1e-4, 3e-4] or student.model: [a, b]"
    )

    @field_validator("select", mode="before")
    @classmethod
    def _with_its_method(cls, value: Any) -> Any:
        """A filter may be named alone, so it is tried here, too."""
        if isinstance(value, str):
            said = f"say {{method: {value}}}; its settings stand beside it"
            raise PydanticCustomError("select", "{said}", {"said": said})
        return value

    @field_validator("examples")
    @classmethod
    def _each_once(cls, value: list[Method]) -> list[Method]:
        """What two settings of one method make could not be told apart."""
        names = [config.method for config in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise PydanticCustomError(
                "twice", "{names} stands twice; make an arm of each", {"names": ", ".join(twice)}
            )
        return value

    def mistakes(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """What it lacks, and where."""
        if not self.examples and self.mix is None:
            yield (
                (),
                "say what it is trained on: 'examples' (by which methods), 'mix' (data of others), "
                "or both",
            )
        for key in ("facts", "until"):
            if getattr(self, key) and not self.examples:
                yield (key,), "it goes by what methods make: name 'examples'"


def _refuse(mistakes: Sequence[tuple[tuple[str | int, ...], str]]) -> None:
    """Raise pydantic's error with all of ``mistakes``, each at its place, where there are any."""
    if mistakes:
        details = [
            InitErrorDetails(
                type=PydanticCustomError("study", "{what}", {"what": what}), loc=where, input=None
            )
            for where, what in mistakes
        ]
        raise ValidationError.from_exception_data("Recipe", details)


class HoldOut(Section):
    """Examples kept out of training altogether."""

    per_category: int = Field(0, ge=0, description="S1: 10 a category.")


class Questions(Section):
    """The one fixed set of questions that every arm answers."""

    per_document: int = Field(8, ge=1, description="Questions of a kind a document, at most.")
    kinds: list[Literal["trained", "held_out", "independent"]] = Field(
        ["trained", "held_out"],
        description="independent: made apart from the examples, from a file or the documents.",
    )
    file: str | None = Field(
        None, description="Independent questions of yours: document, question, answer by row."
    )
    attempts: int = Field(2, ge=1, description="Tries for a held-out wording.")
    hold_out: HoldOut = HoldOut()

    @model_validator(mode="after")
    def _asks_something(self) -> "Questions":
        if not self.kinds and not self.hold_out.per_category:
            known = "trained, held_out, independent"
            _refuse([(("kinds",), f"no question would be asked; name one of: {known}")])
        return self


#: The keys of a matrix that make another student of it.
_STUDENT_ITSELF = (["student"], ["student", "model"], ["student", "backend"])


class Recipe(Section):
    """A whole study."""

    name: Name = Field(description="Names the run's folder: letters, digits, '_', '.' and '-'.")
    language: str = Field("ja", description="ISO 639-1 code of the documents' language.")
    seed: int = Field(0, ge=-(2**63), lt=2**63)
    documents: Documents | None = Field(None, description="None: instructions from seeds alone.")
    seeds: Seeds | None = None
    teacher: Chat | None = Field(None, description="None: no example is written by a model.")
    student: StudentModel | None = Field(None, description="None: the run ends with the data.")
    judge: Judge = SameAs(model="teacher")
    embedder: EmbedderModel = Field(
        NgramEmbedder(backend="ngram"), description="What compares texts by their meaning."
    )
    language_model: LanguageModelSection | None = Field(
        None, description="Whose probabilities selections go by; none: the student's, or n-grams."
    )
    arms: dict[ArmName, Arm] = Field(
        {}, description="None: the models of 'evaluation.models' are compared as they are."
    )
    curation: list[Filter] = Field(list(DEFAULT_FILTERS))
    novelty: Novelty | None = Field(
        None, description="Find out what the student knows before anything is made."
    )
    leaks: Leaks | None = Field(None, description="Check the examples for benchmark items.")
    questions: Questions = Questions()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    budget: Budget = Budget()
    prompts: str | None = Field(None, description="A folder whose prompts go before the built-in.")
    terms: str | None = Field(
        None, description="A YAML table of teachers' terms that goes before the built-in one."
    )
    accept_terms: list[str] = Field(
        [], description="Terms, by name, that you know to allow your use although they forbid most."
    )

    @model_validator(mode="after")
    def _holds_together(self) -> "Recipe":
        _refuse(
            [
                *self._beginnings(),
                *self._asked(),
                *self._novelty(),
                *self._language_model(),
                *self._selections(),
                *self._further_models(),
                *self._prices(),
                *self._retrieval(),
            ]
        )
        return self

    def _beginnings(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """What has nothing to begin with, and would be left out without a word."""
        mixes = any(arm.mix for arm in self.arms.values())
        if not self.arms:
            yield from self._without_arms()
            return
        makes = any(arm.examples for arm in self.arms.values())
        if self.documents is None and self.seeds is None and not mixes and makes:
            yield (), "Say what to begin with: 'documents', 'seeds', or an arm's 'mix'"
            return
        if self.teacher is None and self.needs_teacher:
            yield ("teacher",), "missing"
        for name, arm in self.arms.items():
            yield from ((("arms", name, *where), what) for where, what in arm.mistakes())
            for number, config in enumerate(arm.examples):
                where = ("arms", name, "examples", number)
                if config.method in SEED_METHODS and self.seeds is None:
                    yield where, f"{config.method} begins with instructions: name 'seeds'"
                elif config.method not in SEED_METHODS and self.documents is None:
                    yield where, f"{config.method} begins with passages: name 'documents'"
            for key in ("facts", "until"):
                if getattr(arm, key) and self.documents is None:
                    yield ("arms", name, key), "facts are listed from passages: name 'documents'"

    def _without_arms(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """What a recipe lacks that compares models as they are, or has in vain."""
        if not self.evaluation.models:
            yield ("arms",), "missing; or name models to compare as they are: evaluation.models"
            return
        for key in ("documents", "seeds", "student"):
            if getattr(self, key) is not None:
                yield (key,), "nothing goes by it without an arm: name 'arms', or leave it out"
        if not self.evaluation.controls:
            yield ("evaluation",), "without arms, models are asked benchmarks: name 'controls'"

    @property
    def needs_teacher(self) -> bool:
        """Whether anything in it is written by a teacher."""
        return self.documents is not None or any(arm.examples for arm in self.arms.values())

    @property
    def asks_questions(self) -> bool:
        """Whether it has questions of its own, about its documents."""
        return self.student is not None and self.documents is not None

    @property
    def ends_with_data(self) -> bool:
        """Whether nobody is asked anything: the run ends with the data of its arms."""
        return self.student is None and bool(self.arms)

    def _asked(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """A student of whom nothing is asked, and a judge that nobody is."""
        is_taught = self.arms and self.student is not None
        if is_taught and self.documents is None and not self.evaluation.controls:
            yield (
                ("student",),
                "it is asked about documents, or benchmarks: name 'documents' or "
                "'evaluation.controls'",
            )
        if self.teacher is None and isinstance(self.judge, SameAs) and (why := self._judged()):
            yield ("judge",), f"name one, for there is no teacher to be it, and {why}"

    def _retrieval(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """A room in which hardly a passage could be shown."""
        stated = self.evaluation.retrieval.characters
        if stated is None or self.documents is None or not self.retrieves:
            return
        least = room_of_one(self.documents.passage_characters)
        if stated < least:
            yield (
                ("evaluation", "retrieval", "characters"),
                f"at least {least}, or leave it out: a passage is shown whole or not at all, and "
                f"with documents.passage_characters: {self.documents.passage_characters} one may "
                f"have {least} with its title",
            )

    def _judged(self) -> str:
        """What the judge is needed for; empty where it is not."""
        if self.arms and any(config.judge_prompt for config in self.curation):
            return "a filter of 'curation' asks it"
        if self.ends_with_data:
            return ""
        sets = shipped()
        judged = [
            one.name
            for one in self.evaluation.controls or ()
            if one.name in sets and sets[one.name].form == "judge"
        ]
        if judged:
            return f"it marks the answers to {', '.join(judged)}"
        if self.evaluation.pairwise is not None:
            return "it compares answers (evaluation.pairwise)"
        if self.evaluation.calibration is not None:
            return "it is held against known marks (evaluation.calibration)"
        return ""

    def _novelty(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """What novelty lacks, and would find out too late."""
        if self.novelty is None:
            return
        if self.documents is None:
            yield ("novelty",), "it is about documents: name them"
        if self.student is None and set(self.novelty.methods) != {"date"}:
            yield ("novelty",), "it is the student that knows a document or not: name 'student'"
        yield from ((("novelty", *where), what) for where, what in self.novelty.mistakes())

    @property
    def embeds(self) -> bool:
        """Whether anything in it compares vectors."""
        selects = (arm.select for arm in self.arms.values())
        return (
            self.retrieves_by_meaning
            or any(config.embeds for config in self.curation)
            or any(select is not None and select.embeds for select in selects)
        )

    @property
    def retrieves(self) -> bool:
        """Whether passages are searched for its questions."""
        return self.asks_questions and "retrieval" in self.evaluation.conditions

    @property
    def retrieves_by_meaning(self) -> bool:
        """Whether vectors are searched too: n-grams know no more than BM25 over characters."""
        return self.retrieves and not isinstance(self.embedder, NgramEmbedder)

    @property
    def scored_by(self) -> LanguageModelSection:
        """The language model as stated; else the student, where it has weights, else n-grams of
        the documents.
        """
        if self.language_model is not None:
            return self.language_model
        if isinstance(self.student, Transformers):
            return ScoredByStudent(backend="student")
        return ScoredByNgrams(backend="ngram")

    def _language_model(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """A language model that has nothing to be made from."""
        config = self.language_model
        if isinstance(config, ScoredByStudent) and not isinstance(self.student, Transformers):
            yield (
                ("language_model",),
                "there is no student with weights; name a model, or take {backend: ngram}",
            )
        is_asked = config is not None or any(
            isinstance(arm.select, SelectPerplexity | SelectDifficulty)
            for arm in self.arms.values()
        )
        if is_asked and isinstance(self.scored_by, ScoredByNgrams) and self.documents is None:
            yield ("language_model",), "n-grams are counted in documents: name them, or a model"
        for name, arm in self.arms.items():
            if isinstance(arm.select, SelectDifficulty) and isinstance(
                self.scored_by, ScoredByNgrams
            ):
                yield (
                    ("arms", name, "select"),
                    "n-grams do not reach from an answer back to its question, so it would make "
                    "no answer likelier; name a language_model with weights",
                )

    def _selections(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Selections that would keep all, draw by chance, or go by another arm's student."""
        for name, arm in self.arms.items():
            where = ("arms", name, "select")
            if isinstance(arm.select, SelectDifficulty) and (
                arm.examples and {config.method for config in arm.examples} <= TEXT_METHODS
            ):
                yield (
                    where,
                    "it goes by how much a question helps, and running text has none; select by "
                    "perplexity or by vectors (d4, facility_location, unlike)",
                )
            is_drawn = isinstance(arm.select, SelectImportance) and not arm.select.target
            if is_drawn and self.documents is None:
                yield where, "it draws what reads like the documents: name them, or a 'target'"
            students = [key for key in arm.matrix if key.split(".")[:2] in _STUDENT_ITSELF]
            by_student = self._goes_by_student(arm)
            for key in students if by_student else ():
                yield (
                    ("arms", name, "matrix", key),
                    f"{by_student} goes by what the recipe's 'student' knows, so another one would "
                    "learn what was chosen for that; make a recipe of each student",
                )

    def _goes_by_student(self, arm: Arm) -> str:
        """The section by which the examples of ``arm`` depend on the student; empty for none."""
        by_model = isinstance(arm.select, SelectPerplexity | SelectDifficulty)
        if by_model and isinstance(self.scored_by, ScoredByStudent):
            return "select"
        novelty, model = self.novelty, self.language_model
        if novelty is None or novelty.action == "report" or novelty.method == "date":
            return ""
        by_another = model is not None and not isinstance(model, ScoredByStudent)
        return "" if novelty.method in LIKELIHOOD and by_another else "novelty"

    def _further_models(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Further models that could not be told from an arm."""
        for name in self.evaluation.models:
            if name in self.arms:
                yield ("evaluation", "models", name), "an arm is called so; choose another name"

    def _prices(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Prices that are lacking, or cannot be added up."""
        models: dict[tuple[str, ...], Any] = {("judge",): self.judge}
        if self.teacher is not None:
            models = {("teacher",): self.teacher, **models}
        if self.embeds:
            models[("embedder",)] = self.embedder
        if self.language_model is not None:
            models[("language_model",)] = self.language_model
        for key in ("models", "judges"):
            for name, model in getattr(self.evaluation, key).items():
                models["evaluation", key, name] = model
        unpriced = [
            role
            for role, model in models.items()
            # What is not stated would be spent without a limit; 0 is a statement.
            if isinstance(model, Http | HttpEmbedder | ScoredByServer)
            and not model.price.model_fields_set - {"currency"}
        ]
        for role in unpriced if self.budget.price is not None else ():
            yield (
                (*role, "price"),
                "budget.price limits what this model costs, and its price is not stated; state "
                "it by a million tokens (input, and output where it writes), 0 where it is free",
            )
        stated = {
            role: price
            for role, model in models.items()
            if (price := getattr(model, "price", None))
            and (price.input or getattr(price, "output", 0))
        }
        if self.budget.price is not None and not stated and not unpriced:
            yield (
                ("budget", "price"),
                "no model of the recipe has a price, so this would never stop it; state "
                "teacher.price (input and output, by a million tokens), or limit budget.tokens",
            )
        currencies = {
            role: price.currency for role, price in stated.items() if isinstance(price, Price)
        }
        first = next(iter(currencies), ())
        for role, currency in currencies.items():
            if currency != currencies[first]:
                yield (
                    (*role, "price", "currency"),
                    f"the {role[-1]}'s prices are in {currency}, the {first[-1]}'s in "
                    f"{currencies[first]}, and they are added up; state both in one currency",
                )

    @field_validator("language")
    @classmethod
    def _language(cls, value: str) -> str:
        return language_code(value)

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


class Profiles(BaseModel):
    """What a recipe's file may say beside the recipe: named changes, and which are the default."""

    model_config = ConfigDict(frozen=True)

    profile: str | None = Field(None, description="The profile that is taken; full: none.")
    profiles: dict[Annotated[str, AfterValidator(not_full)], dict[str, Any] | None] | None = Field(
        None, description="Changes to the recipe, by name: teichaku run RECIPE --profile NAME"
    )


def recipe_schema() -> dict[str, Any]:
    """The JSON Schema of a recipe's file: the recipe with its short forms and its profiles."""
    schema = Recipe.model_json_schema()
    properties, beside = schema["properties"], Profiles.model_json_schema()["properties"]
    filters = properties["curation"]["items"]
    by_name = {"type": "string", "enum": sorted(filters["discriminator"]["mapping"])}
    properties["curation"]["items"] = {"anyOf": [by_name, filters]}
    schema["properties"] = {**properties, **beside}
    # What the recipe itself leaves out, its profiles may give.
    needed = {
        "required": schema.pop("required"),
        "anyOf": [{"required": ["teacher"]}, {"not": {"required": ["documents"]}}],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "if": {"required": ["profiles"]},
        "else": needed,
    }
