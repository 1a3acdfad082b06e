"""Thousands of generated filters and orders: MLflow's own stores and Cairn find the same, in the same order.

Both read one file at the same time, and MLflow is asked in this process, without a server. What MLflow
refuses, Cairn must refuse as well.
"""

import collections
import random

import pytest
import requests
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

import filters
from cairn import Cairn
from chance import SEED, rounds

# Of search_runs; each of the other searches has a tenth of it.
COUNT = rounds(5000)
VIEWS = {"ACTIVE_ONLY": ViewType.ACTIVE_ONLY, "DELETED_ONLY": ViewType.DELETED_ONLY, "ALL": ViewType.ALL}


class IdsOnly(Tracking):
    """MLflow's store, which reads nothing of the found runs but themselves: ten times as fast, the same search."""

    @staticmethod
    def _get_eager_run_query_options():
        return [sqlalchemy.orm.noload("*")]

    def _get_run_inputs(self, session, run_uuids):
        return [[] for _ in run_uuids]

    def _get_model_outputs_bulk(self, run_ids, session):
        return collections.defaultdict(list)


class Both:
    """One store under Cairn, and in this process under MLflow."""

    def __init__(self, cairn, root):
        self.cairn = cairn
        self.session = requests.Session()
        # Cairn made the file; this migrates it to the newest shape.
        self.tracking = IdsOnly(f"sqlite:///{cairn.database}", str(root))
        self.registry = Registry(f"sqlite:///{cairn.database}")

    def ask(self, method, path, body):
        """Cairn's answer, or the code of its refusal."""
        arguments = {"json": body} if method == "POST" else {"params": body}
        answer = self.session.request(method, f"{self.cairn.url}/api/2.0/mlflow/{path}", timeout=60, **arguments)
        if answer.status_code == 200:
            return answer.json()
        return answer.json()["error_code"]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    with Cairn(tmp_path_factory.mktemp("filters") / "store") as cairn:
        client = MlflowClient(cairn.url, cairn.url)
        ids = filters.fill(client, SEED, experiments=12, runs=250)
        both = Both(cairn, tmp_path_factory.mktemp("artifacts"))
        both.experiments = ids
        both.runs = [run.info.run_id for run in client.search_runs(ids, run_view_type=ViewType.ALL, max_results=1000)]
        both.models = [model.name for model in client.search_registered_models(max_results=1000)]
        yield both


def pages(search, walk):
    """All ids of a search, page by page if `walk`, with where each page ended; or the code of a refusal."""
    found, token = [], None
    while True:
        try:
            ids, token = search(token)
        except MlflowException as error:
            return error.error_code
        if ids is None:
            return token
        found.append(ids)
        if not token or not walk:
            return [*found, bool(token)]


def compare(questions):
    """Asks both; what they differ in, and how many were refused by both, and found nothing."""
    differences, refused, empty, asked = [], 0, 0, 0
    for text, mlflow, cairn, walk in questions:
        asked += 1
        expected, got = pages(mlflow, walk), pages(cairn, walk)
        if isinstance(expected, str):
            refused += 1
            # An internal error of MLflow's says nothing about what is right.
            if not isinstance(got, str) and expected != "INTERNAL_ERROR":
                differences.append((text, expected, got))
        elif expected != got:
            differences.append((text, expected, got))
        else:
            empty += expected[:1] == [[]]
    print(f"{asked} searches, {refused} refused by both, {empty} found nothing, {len(differences)} differ")
    for difference in differences[:40]:
        print(*map(repr, difference), sep="\n  ")
    assert not differences, f"{len(differences)} of {asked} differ, the first: {differences[0]}"
    assert refused < asked / 10 and empty < asked * 0.75, "too few of the generated searches say anything"


def test_runs(both):
    grammar, chance = filters.Grammar(SEED), random.Random(SEED)

    def question():
        text = grammar.joined(lambda: grammar.run_clause(both.runs[:6]))
        order = grammar.run_order()
        ids = chance.sample(both.experiments[:4], chance.randint(1, 4))
        view = chance.choice(list(VIEWS))
        walk = chance.random() < 0.1
        size = chance.choice([7, 20]) if walk else chance.choice([1, 5, 20, 1000])

        def mlflow(token):
            runs, token = both.tracking._search_runs(ids, text, VIEWS[view], size, order, token)
            return [run.info.run_id for run in runs], token

        def cairn(token):
            body = {"experiment_ids": ids, "filter": text, "order_by": order, "run_view_type": view, "max_results": size}
            answer = both.ask("POST", "runs/search", {**body, "page_token": token} if token else body)
            if isinstance(answer, str):
                return None, answer
            return [run["info"]["run_id"] for run in answer.get("runs", [])], answer.get("next_page_token")

        return (text, order, ids, view, size), mlflow, cairn, walk

    compare(question() for _ in range(COUNT))


def simple(both, method, path, answer_key, identify, ask_mlflow, make, sizes, count=COUNT // 10):
    """Compares a search that takes a filter, an order, a page size and a token."""
    chance = random.Random(SEED)

    def question():
        text, order, extra = make()
        size, walk = chance.choice(sizes), chance.random() < 0.2

        def mlflow(token):
            page = ask_mlflow(text, order, size, token, **extra)
            return [identify(item) for item in page], page.token

        def cairn(token):
            body = {"filter": text, "order_by": order, "max_results": size, **extra}
            answer = both.ask(method, path, {**body, "page_token": token} if token else body)
            if isinstance(answer, str):
                return None, answer
            return [identify(item) for item in answer.get(answer_key, [])], answer.get("next_page_token")

        return (text, order, size, extra), mlflow, cairn, walk

    compare(question() for _ in range(count))


def field(item, *names):
    """A field of an entity or of a message."""
    if isinstance(item, dict):
        return tuple(str(item[name]) for name in names)
    return tuple(str(getattr(item, name)) for name in names)


def test_experiments(both):
    # Up to release 3.17, MLflow takes LIKE in capitals only here.
    grammar = filters.Grammar(SEED + 1, any_case=False)

    def make():
        text = grammar.joined(lambda: grammar.experiment_clause(both.experiments))
        return text, grammar.experiment_order(), {"view_type": grammar.one(*VIEWS)}

    def mlflow(text, order, size, token, view_type):
        return both.tracking.search_experiments(VIEWS[view_type], size, text, order, token)

    simple(both, "POST", "experiments/search", "experiments", lambda item: field(item, "experiment_id"), mlflow, make, [3, 1000])


def test_registered_models(both):
    grammar = filters.Grammar(SEED + 2)

    def make():
        return grammar.joined(lambda: grammar.model_clause(both.models)), grammar.model_order(), {}

    def mlflow(text, order, size, token):
        return both.registry.search_registered_models(text, size, order, token)

    simple(
        both, "GET", "registered-models/search", "registered_models", lambda item: field(item, "name"), mlflow, make, [3, 100]
    )


def test_model_versions(both):
    grammar = filters.Grammar(SEED + 3)

    def make():
        text = grammar.joined(lambda: grammar.version_clause(both.models, both.runs[:5]))
        return text, grammar.version_order(), {}

    def mlflow(text, order, size, token):
        return both.registry.search_model_versions(text, size, order, token)

    simple(
        both, "GET", "model-versions/search", "model_versions", lambda item: field(item, "name", "version"), mlflow, make, [3, 1000]
    )


def test_logged_models(both):
    grammar, chance = filters.Grammar(SEED + 4), random.Random(SEED)

    def make():
        text = grammar.joined(lambda: grammar.logged_model_clause(both.runs[:5])).strip()
        return text, grammar.logged_model_order(), {"experiment_ids": chance.sample(both.experiments[:3], chance.randint(1, 3))}

    def mlflow(text, order, size, token, experiment_ids):
        # As its server calls it; a page token holds the same.
        return both.tracking.search_logged_models(experiment_ids, text or None, None, size, order or None, token)

    def identify(item):
        return item["info"]["model_id"] if isinstance(item, dict) else item.model_id

    simple(both, "POST", "logged-models/search", "models", identify, mlflow, make, [3, 100])
