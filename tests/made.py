"""Small records for tests, with readable defaults."""

from typing import Any

from teichaku.core.records import Example, Passage, Question, Reply, Request, Sampling, content_id

BOAT = "名称：遊覧船あおば丸\n定員：48人\n建造：1987年\n料金：1,800円\n船体は檜でできている。"


def passage(text: str = BOAT, title: str = "遊覧船あおば丸", document: str = "") -> Passage:
    document = document or content_id(title)
    return Passage(content_id(document, text), document, 0, title, text, f"{title}.txt")


def example(question: str, answer: str, of: Passage | None = None, **changes: Any) -> Example:
    of = of or passage()
    values: dict[str, Any] = {
        "id": content_id(of.id, question, answer),
        "document_id": of.document_id,
        "passage_id": of.id,
        "method": "document_qa",
        "question": question,
        "answer": answer,
        "language": "ja",
    }
    return Example(**{**values, **changes})


def question(wording: str, reference: str, of: Passage | None = None, **changes: Any) -> Question:
    of = of or passage()
    values: dict[str, Any] = {
        "id": content_id(wording),
        "kind": "trained",
        "document_id": of.document_id,
        "passage_id": of.id,
        "example_id": content_id(of.id, wording, reference),
        "question": wording,
        "reference": reference,
    }
    return Question(**{**values, **changes})


def reply(text: str, subject: Any, **changes: Any) -> Reply:
    request = Request((), Sampling(), subject=subject, prompt=changes.pop("prompt", "ja/x@1"))
    return Reply(request, text, **{"finish_reason": "stop", "key": "k", **changes})
