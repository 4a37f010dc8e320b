"""The stage that asks every model benchmarks, to see what it could do before and what it lost.

What is asked stands apart from the questions about documents: it is in no score of knowledge, and
no arm is chosen by it.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from teichaku.backends.llama_cpp import LlamaCppModel
from teichaku.core.locale import translate
from teichaku.core.models import Student
from teichaku.core.records import (
    Answer,
    Dropped,
    Judgement,
    Passage,
    Question,
    QuestionRequest,
    Reply,
    Request,
    Score,
    content_id,
)
from teichaku.core.run_folder import StageFolder, dropped, json_bytes, write_aside
from teichaku.curation.novelty import later_than
from teichaku.evaluation.answers import Asked, failure_of
from teichaku.evaluation.benchmarks.controls import (
    Controls,
    control_scores,
    write_results,
    write_sets,
)
from teichaku.evaluation.benchmarks.conversations import Put, ask_items, request_of
from teichaku.evaluation.benchmarks.frames import Asking, frame
from teichaku.evaluation.benchmarks.masked_sentences import BENCHMARK as MASKED
from teichaku.evaluation.benchmarks.masked_sentences import MaskedSentences
from teichaku.evaluation.benchmarks.metrics import METRICS
from teichaku.evaluation.benchmarks.prepared import Prepared
from teichaku.evaluation.benchmarks.prompt_checks import (
    count_faults,
    prompt_faults,
    refuse_faults,
)
from teichaku.evaluation.benchmarks.rows import Item
from teichaku.evaluation.benchmarks.sampling import stratified
from teichaku.evaluation.judging.exchanges import benchmark_exchanges
from teichaku.recipes import counts
from teichaku.recipes.arms import base_arms
from teichaku.recipes.control_sets import (
    controls_of,
    info_of,
    is_marked_by_criteria,
    prepared_sets,
    requests_fingerprint,
    set_fingerprint,
)
from teichaku.recipes.evaluated import (
    Evaluated,
    count_evaluated,
    evaluated_fingerprint,
    evaluated_models,
)
from teichaku.recipes.evaluation_schema import ControlSet
from teichaku.recipes.further_model import own_failure
from teichaku.recipes.judges import (
    absolute_judge,
    judges_of,
    protocol_fingerprints,
    scorer_names,
    write_protocols,
)
from teichaku.recipes.model_schema import LlamaCpp, Scripted, Transformers
from teichaku.recipes.progress import about
from teichaku.recipes.rendered_prompts import (
    Shown,
    rendered_by_models,
    sounds_tuned_to_chat,
)
from teichaku.recipes.stage_line import prompt_fingerprints, scope
from teichaku.recipes.study import Outcome, Study, require

STAGE = "controls"
#: Why a further model is not asked a set.
EMPTY = "not asked: every prompt of the set is empty as the model reads it"

#: Room for the sentence that was taken out of a passage.
_SENTENCE_TOKENS = 256
_MASKED_METRIC = METRICS["char_f1"]
_MASKED_PROMPTS = ("key_sentences", "masked_sentence", "ask_again")


def asks_controls(study: Study) -> bool:
    """Whether the recipe has sets that its models are asked."""
    return bool(controls_of(study.recipe))


def controls_fingerprint(study: Study) -> dict[str, Any]:
    """What the stage is made from, beside the training."""
    recipe = study.recipe
    sets = prepared_sets(recipe, study.root)
    given = {config.key: config for config in controls_of(recipe)}
    made = [config for config in given.values() if config.name == MASKED]
    judged = sorted({_judge_prompt(key) for key, of in sets.items() if of.form == "judge"})
    prompts = [*(_MASKED_PROMPTS if made else ()), *judged, *(["ask_again"] if judged else ())]
    found = {
        "sets": {key: set_fingerprint(given[key], of) for key, of in sets.items()},
        "teacher": study.workshop.teacher.identity if made else "",
        "passages": study.run.stage("documents").hashes() if made else {},
        "made": [_made_fingerprint(config, recipe.seed) for config in made],
        "judges": {
            prompt: protocol_fingerprints(study, partial(absolute_judge, prompt=prompt))
            for prompt in judged
        },
        "prompts": prompt_fingerprints(study, prompts),
        **evaluated_fingerprint(study),
        **scope(recipe),
    }
    # What a base model is shown around a question stands in the plain template.
    found["prompts"] |= prompt_fingerprints(study, ["plain_template"])
    # Figures by category are made from these, where sets of the user's have any.
    filed = {key: config.category for key, config in given.items() if config.category}
    return {**found, "categories": filed} if filed else found


def _made_fingerprint(config: ControlSet, seed: int) -> list[Any]:
    """What a set that a teacher makes is made from, but for prompts, and how it is asked."""
    empty = Item(Question("", "control", "", "", "", "", "", benchmark=MASKED), ())
    asked = requests_fingerprint(_masked_asking(seed), [empty])
    told = config.model_dump(mode="json", exclude={"category"})
    return [told, asked, _MASKED_METRIC.name, _MASKED_METRIC.version]


def ask_controls(study: Study, folder: StageFolder) -> Outcome:
    """Every set, asked of every model and marked; in = out + dropped counts answers, and rows and
    passages that gave no item.
    """
    sets, fallen = _sets(study)
    configs = {config.key: config for config in controls_of(study.recipe)}
    infos = {key: info_of(configs[key], of) for key, of in sets.items()}
    items = {item.question.id: item for of in sets.values() for item in of.items}
    write_sets(folder, infos.values(), items.values())
    ways = _ways(study, sets)
    _write_requests(folder, sets, ways)
    answers = _ask(study, sets, ways)
    judgements = _judge(study, folder, sets, answers)
    failed = [answer for answer in answers if answer.error]
    fallen += [dropped(answer, STAGE, failure_of(answer), answer.error) for answer in failed]
    folder.write("answers", Answer, answers)
    folder.write("judgements", Judgement, judgements)
    controls = Controls(infos, items, answers, judgements, scorer_names(folder))
    scores = control_scores(controls)
    folder.write("scores", Score, scores)
    write_results(folder, controls, scores)
    folder.write("dropped", Dropped, sorted(fallen, key=lambda d: (d.record_id, d.reason)))
    limits = _limits(study, sets)
    models = {arm: asdict(way) | {"limits": limits.get(arm, {})} for arm, way in ways.items()}
    write_aside(folder.path / "models.json", json_bytes({"models": models}))
    shown = rendered_by_models(study, lambda arm: _shown(sets, ways[arm]))
    write_aside(folder.path / "prompt.json", json_bytes(shown))
    reasons: dict[str, int] = {}
    for row in fallen:
        reasons[row.reason] = reasons.get(row.reason, 0) + 1
    if answers:
        whole = [answer for answer in answers if not answer.error]
        require(study.run, whole, STAGE, translate("answer"), reasons, fallen)
    notes = {
        "sets": {key: one.items for key, one in infos.items()},
        "answers": len(answers),
        "judgements": len(judgements),
        "judgements_failed": sum(judgement.score is None for judgement in judgements),
        "prompt_faults": {arm: way.faults for arm, way in ways.items() if way.faults},
    }
    taken, kept = len(answers) + len(fallen) - len(failed), len(answers) - len(failed)
    return Outcome(taken, kept, reasons, notes)


@dataclass(frozen=True)
class Way:
    """How a model is asked each set (``put``), and how many prompts of a set have which fault
    (``faults``). ``is_served``: its template is the server's, and its prompts are not seen here; of
    a GGUF file the header is.
    ``lost`` are the sets that a further model is not asked, and why; ``unseen`` says why its
    prompts could not be looked at.
    """

    put: Mapping[str, Put]
    faults: Mapping[str, Mapping[str, int]]
    is_served: bool
    lost: Mapping[str, str] = field(default_factory=dict)
    unseen: str = ""


def _sets(study: Study) -> tuple[dict[str, Prepared], list[Dropped]]:
    """The sets in the order of the recipe, and what gave no item."""
    found = prepared_sets(study.recipe, study.root)
    fallen = [row for of in found.values() for row in of.left_out]
    ordered: dict[str, Prepared] = {}
    for config in controls_of(study.recipe):
        if config.name == MASKED:
            of = _masked(study, config)
            fallen += of.left_out
            if not of.items:
                told = translate("no passage gave a question; see its dropped rows")
                study.progress.say(f"! {MASKED}: {told}")
                continue
        else:
            of = found[config.key]
        if of.identity == "other":
            told = translate("its file is not the one that LLM-jp publishes")
            study.progress.say(f"! {config.key}: {told}")
        ordered[config.key] = of
    return ordered, fallen


def _masked(study: Study, config: ControlSet) -> Prepared:
    """Questions about sentences of the passages that are newer than the recipe says: of as many
    passages, drawn by the seed, as questions are wanted.
    """
    if config.newer_than is None:
        raise AssertionError("a recipe whose newer_than was checked")
    day, limit = config.newer_than, config.items

    def is_newer(passage: Passage) -> bool | None:
        return later_than(passage.date, day)

    seed = study.recipe.seed
    drawn = sorted(study.passages.values(), key=lambda p: content_id(seed, MASKED, p.id))
    new = [passage for passage in drawn if is_newer(passage)]
    beyond = [] if limit is None else new[limit:]
    left = {passage.id for passage in beyond}
    made = MaskedSentences(
        study.prompts.load("key_sentences"),
        study.prompts.load("masked_sentence"),
        again=study.prompts.load("ask_again"),
    )
    kept = [passage for passage in drawn if passage.id not in left]
    teacher = study.workshop.teacher
    total, estimate = study.workshop.estimate(teacher, map(made.request, new[:limit]))
    study.progress.begin(f"{STAGE}: {MASKED}", total, estimate)
    rows = list(made.make(kept, is_newer, teacher))
    fallen = [row for row in rows if isinstance(row, Dropped)]
    fallen += [dropped(passage, STAGE, "over_limit", str(limit)) for passage in beyond]
    every = [Item(row, (row.reference,)) for row in rows if not isinstance(row, Dropped)]
    every.sort(key=lambda item: item.question.id)
    items = every if limit is None else stratified(every, limit, seed)
    chosen = {item.question.id for item in items}
    fallen += [
        dropped(item.question, STAGE, "over_limit", str(limit))
        for item in every
        if item.question.id not in chosen
    ]
    left_out = tuple(replace(row, stage=STAGE) for row in fallen)
    return Prepared(
        _masked_asking(seed), tuple(items), "text", _MASKED_METRIC, "unknown", is_published=False,
        fallen={}, left_out=left_out,
    )  # fmt: skip


def _masked_asking(seed: int) -> Asking:
    return Asking(MASKED, "", (), _SENTENCE_TOKENS, frame(), seed=seed)


def _ways(study: Study, sets: Mapping[str, Prepared]) -> dict[str, Way]:
    """How each model is asked. Raises ``UserError`` where all prompts of a set are empty; a further
    model loses its own answers alone.
    """
    workshop, arms = study.workshop, list(study.arms)
    own = {**base_arms(arms), **{arm.name: arm.student for arm in arms}}
    found, known = {}, dict[int, Way]()
    for arm, config in own.items():
        student = workshop.student(config)
        # The arms of a student read the same prompts.
        if id(student) not in known:
            known[id(student)] = way_of(sets, student)
        found[arm] = known[id(student)]
    for name, given in study.recipe.evaluation.models.items():
        if isinstance(given, Transformers | Scripted):
            found[name] = further_way(sets, partial(workshop.student, given, "evaluated"))
        elif isinstance(given, LlamaCpp):
            found[name] = gguf_way(sets, partial(workshop.engine, "evaluated", given))
        else:
            found[name] = way_of(sets, None)
    for arm, way in found.items():
        if way.unseen:
            told = translate("its prompts cannot be looked at: {why}").format(why=way.unseen)
            study.progress.say(f"! {arm}: {told}")
        for key, faults in way.faults.items():
            told = translate("{faults} of {count} prompts").format(
                faults=", ".join(f"{name} {count}" for name, count in faults.items()),
                count=len(sets[key].items),
            )
            study.progress.say(f"! {arm}, {key}: {told}")
    return found


def way_of(sets: Mapping[str, Prepared], student: Student | None) -> Way:
    """How a student is asked each set; None stands for a model behind a server. Raises
    ``UserError`` where all prompts of a set are empty.
    """
    if student is None:
        return Way({key: _put_by_server(of) for key, of in sets.items()}, {}, is_served=True)
    way = _looked_at(sets, student)
    for key, of in sets.items():
        if _are_empty(of, way, key):
            refuse_faults(["empty_prompt"], key)
    return way


def further_way(sets: Mapping[str, Prepared], build: Callable[[], Student]) -> Way:
    """The same of the further model that ``build`` gives. Of what is wrong with it nothing is
    raised: sets whose prompts are all empty are lost to it, and where its prompts cannot be had
    it is asked, and its answers say why.
    """
    try:
        way = _looked_at(sets, build())
    except Exception as error:  # noqa: BLE001 - its tokenizer and template may raise anything
        put = {key: _put_by_template(of, has_chat_template=True) for key, of in sets.items()}
        return Way(put, {}, is_served=False, unseen=own_failure(error))
    lost = {key: EMPTY for key, of in sets.items() if _are_empty(of, way, key)}
    return replace(way, lost=lost)


def gguf_way(sets: Mapping[str, Prepared], build: Callable[[], LlamaCppModel]) -> Way:
    """The same of a further model in llama.cpp, which puts the template of its file around all that
    it is asked; where the file has none, one that may be no model's of this kind.
    """
    put = {key: _put_by_server(of) for key, of in sets.items()}
    try:
        model = build()
        lacks = not model.header.chat_template and sounds_tuned_to_chat(model.name)
    except Exception as error:  # noqa: BLE001 - the file may be anything
        return Way(put, {}, is_served=False, unseen=own_failure(error))
    faults = {}
    for key, of in sets.items():
        requests = _requests(of, put[key])
        if lacks and not of.is_published and requests:
            faults[key] = {"missing_chat_template": len(requests)}
    return Way(put, faults, is_served=False)


def _looked_at(sets: Mapping[str, Prepared], student: Student) -> Way:
    put, faults = {}, {}
    for key, of in sets.items():
        first = of.asking.chat(of.items[0]).messages
        put[key] = _put_by_template(of, student.rendered(first).has_chat_template)
        every = [_faults(student, of, request) for request in _requests(of, put[key])]
        if counted := count_faults(every):
            faults[key] = counted
    return Way(put, faults, is_served=False)


def _are_empty(of: Prepared, way: Way, key: str) -> bool:
    asked = sum(not item.turn for item in of.items)
    return 0 < asked == way.faults.get(key, {}).get("empty_prompt")


def _put_by_server(of: Prepared) -> Put:
    return "plain_in_chat" if of.is_published or of.asking.template else "chat"


def _put_by_template(of: Prepared, has_chat_template: bool) -> Put:
    """As published, a set is asked in the plain frame, letter by letter; by our protocol as a chat.
    A model without a chat template is shown instruction and examples in the plain frame too.
    """
    if of.is_published:
        return "plain"
    if of.asking.template:
        return "plain_in_chat" if has_chat_template else "plain"
    in_turns = any(item.turn for item in of.items)
    framed = bool(of.asking.instruction or of.asking.shots) and not in_turns
    return "plain" if framed and not has_chat_template else "chat"


def _requests(of: Prepared, put: Put, asking: Asking | None = None) -> list[Request]:
    return [request_of(item, asking or of.asking, put) for item in of.items if not item.turn]


def _faults(student: Student, of: Prepared, request: Request) -> list[Any]:
    rendered = student.rendered(request.messages, request.plain)
    # Without a template the plain frame stands in, which is no model's that was tuned to chat.
    wants_chat = not of.is_published and sounds_tuned_to_chat(student.name)
    return list(
        prompt_faults(
            rendered.tokens, rendered.bos, rendered.special, rendered.adds_bos,
            wants_chat, rendered.has_chat_template,
        )
    )  # fmt: skip


def _shown(sets: Mapping[str, Prepared], way: Way) -> Iterator[Shown]:
    """The first item of each set, as a model is asked it."""
    for key, of in sets.items():
        put = way.put[key]
        request = _requests(of, put)[0]
        about = {"set": key, "question_id": request.subject.question.id, "put": put}
        yield Shown(about, request, not of.is_published)


def _write_requests(
    folder: StageFolder, sets: Mapping[str, Prepared], ways: Mapping[str, Way]
) -> None:
    """Each request as some model is asked it; a second turn follows from the reply to the first,
    and is not among them.
    """
    rows = {}
    for key, of in sets.items():
        for put in sorted({way.put[key] for way in ways.values()}):
            for request in _requests(of, put):
                row = _record(request, put)
                rows[row.id] = row
    folder.write("requests", QuestionRequest, [rows[name] for name in sorted(rows)])


def _record(request: Request, put: Put) -> QuestionRequest:
    item: Item = request.subject
    messages = [asdict(message) for message in request.messages]
    return QuestionRequest(
        content_id(item.question.id, put),
        item.question.id,
        "closed_book",
        f"{request.prompt}#{put}",
        json.dumps(messages, ensure_ascii=False),
        json.dumps(asdict(request.sampling), ensure_ascii=False),
    )


def _ask(study: Study, sets: Mapping[str, Prepared], ways: Mapping[str, Way]) -> list[Answer]:
    _begin(study, sets, ways)
    answers: list[Answer] = []
    for one in evaluated_models(study):
        asked, way = Asked(one.arm, one.checkpoint, "closed_book"), ways[one.arm]
        for key, of in sets.items():
            unasked = _Unasked(way.lost[key]) if key in way.lost else None
            model = study.workshop.counted(unasked) if unasked else one.model
            answers += ask_items(of.items, _asking(one, of), model, asked, way.put[key])
    return sorted(answers, key=lambda answer: answer.id)


def _asking(one: Evaluated, of: Prepared) -> Asking:
    """How a model is asked a set: within its own limit, but as published within that of the set."""
    return of.asking if of.is_published else one.limited(of.asking)


def _limits(study: Study, sets: Mapping[str, Prepared]) -> dict[str, dict[str, int]]:
    """The limits of further models that are not those of the sets, by model and set."""
    return {
        name: {key: given.max_tokens for key, of in sets.items() if not of.is_published}
        for name, given in study.recipe.evaluation.models.items()
        if given.max_tokens is not None
    }


@dataclass(frozen=True)
class _Unasked:
    """What stands in for a model that is not asked: ``why`` is each of its answers' error."""

    why: str
    identity: str = ""

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        """A failed reply to each request."""
        for request in requests:
            if request is None:
                # A reply is handed on at once, so none is on its way.
                return
            yield Reply(request, "", error=self.why, final=True)


def _begin(study: Study, sets: Mapping[str, Prepared], ways: Mapping[str, Way]) -> None:
    """Tell how much there is to ask, and how long it may take where that is known."""
    workshop, sent, seconds = study.workshop, 0, 0.0
    students = {arm.name: arm.student for arm in study.arms}
    # Nothing is sent to a model that cannot be had, and arms that learnt the same are one model.
    seen = {""}
    for one in evaluated_models(study):
        if one.model.identity in seen:
            continue
        seen.add(one.model.identity)
        like = workshop.student(students[one.arm]) if one.arm in students else one.model
        for key, of in sets.items():
            requests = [
                replace(request, prompt=f"benchmark/{of.form}_item")
                for request in _requests(of, ways[one.arm].put[key], _asking(one, of))
            ]
            missing, expected = workshop.expect(one.model, requests, like)
            sent, seconds = sent + missing, seconds + expected
    items = sum(len(of.items) for of in sets.values())
    total = items * count_evaluated(study)
    told = translate("{items} of {sets}, {models}: {requests} to send").format(
        items=counts.items(items),
        sets=counts.sets(len(sets)),
        models=counts.models(count_evaluated(study)),
        requests=counts.requests(sent),
    )
    study.progress.begin(STAGE, total, told + about(seconds))


def _judge(
    study: Study, folder: StageFolder, sets: Mapping[str, Prepared], answers: Sequence[Answer]
) -> list[Judgement]:
    """The marks of every judge for the sets that are judged."""
    judged = {key: of for key, of in sets.items() if of.form == "judge"}
    if not judged:
        return []
    judges = judges_of(study)
    prompts = sorted({_judge_prompt(key) for key in judged})
    asking = {(judge, prompt): absolute_judge(study, judge, prompt) for judge in judges
              for prompt in prompts}  # fmt: skip
    write_protocols(study, folder, judges, [one.protocol for one in asking.values()])
    found: list[Judgement] = []
    for key, of in judged.items():
        own = {item.question.id for item in of.items}
        given = [answer for answer in answers if answer.question_id in own]
        exchanges = benchmark_exchanges(given, of.items)
        for judge in judges:
            one = asking[judge, _judge_prompt(key)]
            requests = one.mark_requests(exchanges)
            total, estimate = study.workshop.estimate(judge.model, requests)
            study.progress.begin(f"{STAGE}: {key}, {judge.scorer}", total, estimate)
            found += one.mark(exchanges, judge.model)
    return sorted(found, key=lambda judgement: judgement.id)


def _judge_prompt(key: str) -> str:
    return "judge_criteria" if is_marked_by_criteria(key) else "judge_turn"
