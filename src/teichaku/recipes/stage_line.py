"""Runs the stages of a study, and knows which are finished already."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from teichaku.core.locale import translate
from teichaku.core.records import Example
from teichaku.core.run_folder import StageFolder, fingerprint
from teichaku.recipes import counts
from teichaku.recipes.counts import Unit, counted
from teichaku.recipes.examples_stage import sign_anew
from teichaku.recipes.model_schema import LlamaCpp
from teichaku.recipes.progress import duration
from teichaku.recipes.schema import Recipe
from teichaku.recipes.selection_stage import POOL
from teichaku.recipes.study import Outcome, Study
from teichaku.recipes.workshop import Usage

#: Raised when a stage's results for the same input change, so that old ones are made anew.
_STAGE_VERSION = 7
#: What the last attempt tells of the whole stage: in the sum of all attempts, a reply that came
#: from the cache again and again would count as often.
_OF_THIS_ATTEMPT = ("cached_requests", "cached_tokens", "failed_requests", "final_failures")


#: What the stages count, by the first part of their names.
_COUNTED: Mapping[str, Unit] = {
    "documents": counts.documents,
    "novelty": counts.passages,
    "synthesis": counts.examples,
    "curation": counts.examples,
    "dataset": counts.examples,
    "training": counts.examples,
    "questions": counts.questions,
    "retrieval": counts.questions,
    "probes": counts.answers,
    "evaluation": counts.answers,
    "controls": counts.answers,
    "signals": counts.answers,
    "unanswerable": counts.questions,
    "comparisons": counts.pairs,
    "calibration": counts.items,
}


class StageLine:
    """Runs stages one after another and numbers them."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._position = 0

    def stage(
        self,
        name: str,
        made_from: dict[str, Any],
        work: Callable[[StageFolder], Outcome],
        signature: Mapping[str, Any] | None = None,
        checked: Mapping[str, Any] | None = None,
    ) -> str:
        """Run the stage ``name`` unless it is finished; its fingerprint for the stages after it.

        ``signature`` is what its examples carry and nobody learns from: where it alone changes,
        it is written into the finished examples, and what was trained on them stays.
        ``checked``, for a stage with a signature, is what its examples are only held against:
        another one runs the stage again, and what follows only where other examples come out.
        """
        self._position += 1
        asked = fingerprint({"stage": name, "version": _STAGE_VERSION, **made_from})
        own = fingerprint([asked, checked]) if checked else asked
        made = own if signature is None else fingerprint([own, signature])
        run, progress = self._study.run, self._study.progress
        folder = run.stage(name)
        room = context_of_models(self._study.recipe)
        if folder.is_finished(made) and folder.is_begun(made) and _is_settled(folder, room):
            progress.say(f"= {name}: {translate('finished before')}")
        elif signature is not None and _differs_in_signature(folder, own, room):
            about = {**(folder.summary() or {}), "fingerprint": made, "signature": signature}
            folder.mark(made)
            sign_anew(self._study, folder)
            folder.finish(made, about)
            told = translate("finished before; price and terms are written anew")
            progress.say(f"= {name}: {told}")
        else:
            folder.begin(made)
            start = time.monotonic()
            with self._timed(name) as usage:
                summary = work(folder).summary()
            arguments = {**made_from, **(checked or {})}
            about = {"stage": name, "position": self._position, "arguments": arguments}
            if signature is not None:
                about |= {"signature": signature, "content": _unsigned(folder)}
            about["failed_requests"] = usage.failed_requests
            if usage.final_failures:
                about |= {"final_failures": usage.final_failures, "context_tokens": room}
            folder.finish(made, {**about, **summary})
            progress.end(name, _in_words(name, summary, usage, time.monotonic() - start))
            self._tell_failures(name, usage)
        run.add_stage(name, made)
        # What failed may succeed next time, so what comes after depends on the files themselves.
        # So it does where some cannot be answered and a server is given more room.
        found = folder.summary() or {}
        if found.get("failed_requests") or (signature is None and found.get("final_failures")):
            return fingerprint([made, folder.hashes()])
        return made if signature is None else fingerprint([asked, _content(folder)])

    def _tell_failures(self, name: str, usage: Usage) -> None:
        say = self._study.progress.say
        if usage.failed_requests:
            told = counted(
                usage.failed_requests,
                "{count} request failed for good; the same command asks it again",
                "{count} requests failed for good; the same command asks them again",
            )
            say(f"! {name}: {told}")
        if usage.final_failures:
            told = translate(
                "{requests} cannot be answered, being too long for the model or of a kind that it "
                "does not take; asked again only where the recipe changes or you remove {folder}"
            ).format(
                requests=counts.requests(usage.final_failures),
                folder=self._study.run.stage(name).path,
            )
            say(f"! {name}: {told}")

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[Usage]:
        """Add seconds, requests sent and tokens of this attempt to those of the attempts before it.

        They differ from run to run, so they stay out of stage.json.
        """
        file = f"{name}/timing.json"
        run, workshop = self._study.run, self._study.workshop
        before = run.read_json(file) if (run.path / file).is_file() else {}
        workshop.take_usage()
        usage, start = Usage(), time.monotonic()
        try:
            yield usage
        finally:
            spent = workshop.take_usage()
            vars(usage).update(vars(spent))
            now = {"seconds": time.monotonic() - start, **asdict(spent)}
            total = {key: round(before.get(key, 0) + value, 6) for key, value in now.items()}
            run.write_json(file, {**total, **{key: now[key] for key in _OF_THIS_ATTEMPT}})


def _unsigned(folder: StageFolder) -> str:
    """A fingerprint of the examples, and of those they were selected from, without what they
    carry of price and terms.
    """
    examples = (e for kind in ("examples", POOL) for e in folder.read(kind, Example))
    unsigned = (replace(example, price=0.0, licence_class="") for example in examples)
    return fingerprint([fingerprint(asdict(example)) for example in unsigned])


def _differs_in_signature(folder: StageFolder, asked: str, room: Mapping[str, int]) -> bool:
    """Whether the stage is finished, with nothing to ask again, and only signed in another way."""
    about = folder.summary()
    if about is None or "signature" not in about or not _is_settled(folder, room):
        return False
    return folder.is_finished(fingerprint([asked, about["signature"]]))


def _content(folder: StageFolder) -> str:
    return str((folder.summary() or {})["content"])


def _is_settled(folder: StageFolder, room: Mapping[str, int]) -> bool:
    """Whether no request of a finished stage is to be asked again: none failed that may succeed,
    and those that were final were so with the ``room`` that the models have now.
    """
    about = folder.summary() or {}
    if about.get("failed_requests"):
        return False
    return not about.get("final_failures") or about.get("context_tokens") == room


def context_of_models(recipe: Recipe) -> dict[str, int]:
    """How many tokens the recipe lets its models read, by their place in it. That is no part of
    who a model is, but a prompt that did not fit may fit another time.
    """
    evaluation = recipe.evaluation
    models: dict[str, Any] = {"teacher": recipe.teacher, "judge": recipe.judge}
    models |= {f"judges.{name}": config for name, config in evaluation.judges.items()}
    models |= {f"models.{name}": config for name, config in evaluation.models.items()}
    return {
        place: config.context_tokens
        for place, config in models.items()
        if isinstance(config, LlamaCpp)
    }


def counts_in_words(name: str, summary: Mapping[str, Any]) -> str:
    """What came into the stage ``name``, what out, and what fell for which reasons."""
    tally, made_from = summary["counts"], summary["notes"].get("passages")
    stage = name.partition("/")[0]
    told = {"count": _COUNTED[stage](tally["in"]), "out": tally["out"], "dropped": tally["dropped"]}
    if stage == "synthesis" and made_from:
        text = translate("{passages} in; {count} made, {out} out, {dropped} dropped").format(
            passages=counts.passages(made_from), **told
        )
    else:
        text = translate("{count} in, {out} out, {dropped} dropped").format(**told)
    reasons = ", ".join(f"{reason} {count}" for reason, count in tally["reasons"].items())
    return f"{text} ({reasons})" if reasons else text


def _in_words(name: str, summary: Mapping[str, Any], usage: Usage, seconds: float) -> str:
    text = counts_in_words(name, summary)
    if usage.requests or usage.cached_requests:
        text += translate(
            "; {requests} sent, {cached} from the cache, {read} tokens read, {written} written"
        ).format(
            requests=counts.requests(usage.requests),
            cached=usage.cached_requests,
            read=usage.prompt_tokens,
            written=usage.completion_tokens,
        )
        price = f"{usage.price:.4f}"
        text += translate(", price {price}").format(price=price) if usage.price else ""
    return text + translate("; ") + duration(seconds)


def scope(recipe: Recipe) -> dict[str, Any]:
    """What every stage that asks a model depends on."""
    return {"language": recipe.language, "seed": recipe.seed}


def prompt_fingerprints(study: Study, names: Sequence[str]) -> dict[str, str]:
    """The prompts of these names, each with a fingerprint of what it says."""
    loaded = [study.prompts.load(name) for name in dict.fromkeys(names)]
    return {prompt.name: fingerprint(prompt.sections) for prompt in loaded}
