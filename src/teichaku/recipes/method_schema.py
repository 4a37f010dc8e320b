"""The sections of a recipe that say how examples are made: one class a synthesis method."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from teichaku.recipes.section import Section
from teichaku.synthesis.diverse_prompts import KINDS, Kind
from teichaku.synthesis.paraphrase import STYLES, Style


class Generation(Section):
    """How the teacher chooses its words."""

    temperature: float = Field(0.7, ge=0, le=2)
    top_p: float = Field(0.9, gt=0, le=1)
    max_tokens: int = Field(1024, ge=16)


class ShortGeneration(Generation):
    """How the teacher chooses its words where one short pair is asked for."""

    max_tokens: int = Field(512, ge=16)


class FreeGeneration(Generation):
    """How the teacher chooses its words where samples of one prompt are to differ."""

    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)


class LongGeneration(Generation):
    """How the teacher chooses its words where a text may become long."""

    max_tokens: int = Field(2048, ge=16)


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
    generation: ShortGeneration = ShortGeneration()


class CategoryExample(Section):
    """The hand-made example of a category."""

    passage: str
    question: str
    answer: str


class CategoryEntry(Section):
    """A kind of question."""

    name: str
    label: str
    description: str
    answer_length: Literal["short", "long"]
    example: CategoryExample


class CategoryFile(Section):
    """A YAML file of question categories."""

    version: int | str = ""
    licence: str = ""
    categories: list[CategoryEntry] = Field(min_length=1)
    example_sets: dict[str, Annotated[list[str], Field(min_length=1)]] = Field({})


class Verbatim(Section):
    """S4's control: the passage itself, repeated by the epochs of the training."""

    method: Literal["verbatim"]
    copies: int = Field(1, ge=1, description="How often; the filter duplicates keeps one.")


class Paraphrase(Section):
    """S4, WRAP: the passage in other words, in four styles; passages of about 300 tokens."""

    method: Literal["paraphrase"]
    styles: list[Style] = Field(list(STYLES), min_length=1)
    per_style: int = Field(1, ge=1, description="Texts a passage in each style (S4: 250).")
    generation: FreeGeneration = FreeGeneration()


class DiversePrompts(Section):
    """SPA: seven fixed kinds of text about a passage."""

    method: Literal["diverse_prompts"]
    kinds: list[Kind] = Field(list(KINDS), min_length=1)
    samples: int = Field(1, ge=1, description="Texts a passage of each kind (SPA's K).")
    generation: FreeGeneration = FreeGeneration()


class ActiveReading(Section):
    """Active Reading: strategies to study a passage, then what each makes the teacher write."""

    method: Literal["active_reading"]
    task: str = Field(
        "", description="What to prepare for, such as a quiz; empty: to remember everything."
    )
    strategies: int = Field(5, ge=1, description="Strategies in one list.")
    samples: int = Field(1, ge=1, description="Lists a passage.")
    listing: Generation = Field(Generation(), description="For the lists of strategies.")
    generation: LongGeneration = LongGeneration()


class FocalRewrite(Section):
    """Synthetic Mixed Training: pairs, and documents around their questions, one to one."""

    method: Literal["focal_rewrite"]
    per_passage: int = Field(8, ge=1, description="Pairs in one reply.")
    samples: int = Field(1, ge=1, description="Replies with pairs a passage.")
    per_question: int = Field(1, ge=1, description="Documents for each question.")
    rewritten: int | None = Field(
        2, ge=1, description="Questions of a reply with documents; none: all, and most fall."
    )
    ratio: float = Field(
        1.0, gt=0, description="Characters of documents for each one of pairs; surplus falls."
    )
    asking: Generation = Field(Generation(), description="For the pairs.")
    generation: FreeGeneration = FreeGeneration()


class Facts(Section):
    """S4, Mecklenburg: the atomic facts of a passage, then texts and pairs written from them."""

    method: Literal["facts"]
    texts: int = Field(5, ge=0, description="Texts a passage; each tells all its facts.")
    qa_per_fact: int = Field(10, ge=0, description="Pairs a fact (Mecklenburg: 1, 5 or 10).")
    generation: Generation = Generation()

    @model_validator(mode="after")
    def _makes_something(self) -> "Facts":
        if not self.texts and not self.qa_per_fact:
            raise PydanticCustomError("nothing", "'texts' and 'qa_per_fact' cannot both be 0")
        return self


class Reverse(Section):
    """Against the reversal curse: each fact told and asked from its other end."""

    method: Literal["reverse"]
    samples: int = Field(1, ge=1, description="Statements and pairs a fact.")
    generation: ShortGeneration = ShortGeneration()


class EntityGraph(Section):
    """S4, EntiGraph: texts about the relations of two and three entities of a document."""

    method: Literal["entity_graph"]
    max_entities: int = Field(20, ge=2, le=100, description="The most salient ones are kept.")
    max_pairs: int | None = Field(
        None, ge=0, description="Texts about two entities a document; none: all pairs."
    )
    max_triples: int | None = Field(
        100, ge=0, description="Texts about three entities a document; none: all triples."
    )
    tokens_per_document: int | None = Field(
        None, ge=1, description="Stop at about so many tokens of texts a document."
    )
    usual_tokens: int = Field(
        400, ge=16, description="What a text usually takes, to reckon tokens_per_document."
    )
    document_characters: int = Field(
        12_000, ge=200, description="How much of a document is sent with every request."
    )
    angles: list[str] = Field(
        [], description="Sides from which relations are looked at, in turn; none: the built-in."
    )
    generation: FreeGeneration = FreeGeneration()


class ListGeneration(Generation):
    """How the teacher chooses its words where it goes on with a list of instructions."""

    top_p: float = Field(0.5, gt=0, le=1)
    presence_penalty: float = Field(2.0, ge=-2, le=2, description="Keeps it from repeating itself.")


class EvolGeneration(LongGeneration):
    """How the teacher chooses its words where it rewrites instructions."""

    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(0.95, gt=0, le=1)


class SelfInstruct(Section):
    """Self-Instruct: new instructions from a pool of seeds that grows with them."""

    method: Literal["self_instruct"]
    instructions: int = Field(1000, ge=1, description="New instructions, before their instances.")
    requests_per_round: int = Field(
        16, ge=1, description="Lists asked for at a time; fewer while the pool is small."
    )
    max_rounds: int = Field(200, ge=1, description="Rounds after which it ends in any case.")
    instances: int = Field(5, ge=1, description="Inputs with outputs an instruction, at most.")
    input_first_tokens: int = Field(350, ge=16, description="Longest reply with instances.")
    output_first_tokens: int = Field(300, ge=16, description="The same for classifications.")
    similarity: float = Field(0.7, gt=0, le=1, description="ROUGE-L over which an item falls.")
    words: str = Field("", description="A YAML file with word lists of yours; empty: built-in.")
    generation: ListGeneration = Field(ListGeneration(), description="For the lists.")


class EvolInstruct(Section):
    """WizardLM's Evol-Instruct: instructions made harder and rarer, round by round."""

    method: Literal["evol_instruct"]
    rounds: int = Field(4, ge=1)
    of: Literal["seeds", "all"] = Field(
        "seeds", description="Evolve the seeds, or also what the methods before this one made."
    )
    limit: int | None = Field(None, ge=1, description="Only so many of them, drawn.")
    words: str = Field("", description="A YAML file with word lists of yours; empty: built-in.")
    generation: EvolGeneration = EvolGeneration()


class DomainSpread(Section):
    """S2: each instruction carried into many domains."""

    method: Literal["domain_spread"]
    domains: str = Field("", description="A YAML file with domains of yours; empty: the built-in.")
    per_seed: int | None = Field(8, ge=1, description="Domains an instruction; none: all.")
    of: Literal["seeds", "all"] = Field(
        "seeds", description="Spread the seeds, or also what the methods before this one made."
    )
    limit: int | None = Field(None, ge=1, description="Only so many of them, drawn.")
    similarity: float = Field(0.7, gt=0, le=1, description="ROUGE-L to its seed, at most.")
    words: str = Field("", description="A YAML file with word lists of yours; empty: built-in.")
    generation: Generation = Generation()


class DomainEntry(Section):
    """A field of work or life."""

    name: str = Field(min_length=1)
    description: str = Field(min_length=1)


class DomainFile(Section):
    """A YAML file of domains."""

    version: int | str = ""
    licence: str = ""
    domains: list[DomainEntry] = Field(min_length=1)


class WordFile(Section):
    """A YAML file with the words by which instructions and replies are sorted out.

    A list that it does not name stays as it is built in. A bar at an end of a word says that no
    letter of the same script may stand there: 次の図| is not in 次の図書館.
    """

    version: int | str = ""
    licence: str = ""
    beyond_text: list[str] = Field([])
    program_begins: list[str] = Field([])
    program_holds: list[str] = Field([])
    refusals: list[str] = Field([])
    template: list[str] = Field([])
    empty: list[str] = Field([])
    no_input: list[str] = Field([])


Method = Annotated[
    DocumentQA
    | CategoryQA
    | Verbatim
    | Paraphrase
    | DiversePrompts
    | ActiveReading
    | FocalRewrite
    | Facts
    | Reverse
    | EntityGraph
    | SelfInstruct
    | EvolInstruct
    | DomainSpread,
    Field(discriminator="method"),
]

#: The methods that begin with instructions; all others begin with passages.
SEED_METHODS = frozenset({"self_instruct", "evol_instruct", "domain_spread"})

#: The methods that write running text and no pairs.
TEXT_METHODS = frozenset(
    {"verbatim", "paraphrase", "diverse_prompts", "active_reading", "entity_graph"}
)
