"""A varied store, and filters and orders for it, made by chance from a seed.

Everything is drawn from small sets, so that keys are often missing, values often equal, and clauses
often true.
"""

import random

from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelParameter, LoggedModelTag, Metric, Param, RunTag

METRIC_KEYS = ["acc", "Acc", "loss/val", "a b", "m-1", "m.x.y", "überall", "t:1", "acc2", "rare"]
VALUE_KEYS = ["depth", "Depth", "lr", "a/b", "mit raum", "punkt.e", "k-1", "größe", "漢字", "rare"]
NUMBERS = [
    float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1.0, -1.0, 0.1, 0.1 + 0.2, 0.3, 1e-320, 5e-324, 1e308, -1e308, 2.0**53,
    2.0**53 + 2, 3.141592653589793, 100.0, 1e15, 1e16, 123456789.125, -0.5, 2.5,
]  # fmt: skip
TEXTS = [
    "", "a", "A", "abc", "ABC", "aBc", "a%c", "a_c", "a\\c", "%", "_", "10", "2", "1e1", "0.1", "true", "None", "null", "x y", " x", "x ",
    "it's", 'say "x"', "ä", "Ä", "ß", "SS", "İ", "漢字", "🙂", "e\u0301", "é", "line\nbreak", "tab\there", "a;b", "a--b", "/*a*/",
    "AND", "x AND y", "(a)", "a,b", "z" * 300, "\u00a0", "`b`",
]  # fmt: skip
STATUSES = ["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
TIMES = [0, 1, 1000, 1001, 1_700_000_000, 1_700_000_000_000, 1_700_000_000_001, 10**18]
NAMES = ["alpha", "Alpha", "ALPHA", "alpha_1", "alpha-1", "beta%", "gämma", "x" * 200, "deep/er", "漢字"]
USERS = ["anna", "Anna", "bob", ""]
DATASETS = [
    Dataset("wine", "d1", "local", "{}", "{}", "{}"),
    Dataset("Wine", "d2", "local", "{}", "{}", "{}"),
    Dataset("wi_e", "d3", "local", "{}", None, None),
    Dataset("iris", "d1", "http", "{}", None, None),
]
CONTEXTS = ["training", "Training", "test", None]


def some(chance, items, most):
    """Up to `most` of the items, each once."""
    return chance.sample(items, chance.randint(0, min(most, len(items))))


def fill(client, seed, experiments, runs):
    """Fills a store through any client; the ids of its experiments."""
    chance = random.Random(seed)
    ids = ["0"]
    for index in range(experiments):
        tags = {key: chance.choice(TEXTS) for key in some(chance, VALUE_KEYS, 4)}
        ids.append(client.create_experiment(f"{chance.choice(NAMES)} {index}", tags=tags))
    run_ids = []
    for _ in range(runs):
        experiment = chance.choice(ids[:4] if len(run_ids) >= 5 else ids[:3])
        tags = {"mlflow.user": chance.choice(USERS)}
        name = chance.choice([None, *NAMES])
        run = client.create_run(experiment, chance.choice(TIMES), tags, name)
        run_id = run.info.run_id
        run_ids.append(run_id)
        metrics = []
        for key in some(chance, METRIC_KEYS, 7):
            for _ in range(chance.randint(1, 3)):
                metrics.append(Metric(key, chance.choice(NUMBERS), chance.choice(TIMES), chance.choice([-3, 0, 1, 2])))
        params = [Param(key, chance.choice(TEXTS)) for key in some(chance, VALUE_KEYS, 7)]
        tags = [RunTag(key, chance.choice(TEXTS)) for key in some(chance, VALUE_KEYS, 7)]
        client.log_batch(run_id, metrics, params, tags)
        inputs = []
        for dataset in some(chance, DATASETS, 2):
            context = chance.choice(CONTEXTS)
            inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)] if context else []))
        if inputs:
            client.log_inputs(run_id, inputs)
        if chance.random() < 0.7:
            client.set_terminated(run_id, chance.choice(STATUSES[2:]), chance.choice(TIMES))
        # The first ones are those that models are made of.
        if len(run_ids) > 5 and chance.random() < 0.1:
            client.delete_run(run_id)
    client.delete_experiment(ids[3])
    fill_models(client, chance, ids, run_ids)
    return ids


def fill_models(client, chance, experiments, run_ids):
    for index in range(25):
        name = f"{chance.choice(NAMES).replace('/', '.')} {index}"
        client.create_registered_model(name, {key: chance.choice(TEXTS) for key in some(chance, VALUE_KEYS, 4)}, chance.choice(TEXTS))
        for _ in range(chance.randint(0, 4)):
            tags = {key: chance.choice(TEXTS) for key in some(chance, VALUE_KEYS, 4)}
            run_id = chance.choice([None, *run_ids[:5]])
            client.create_model_version(name, f"s3://models/{chance.choice(NAMES)}", run_id, tags)
    for index in range(60):
        model = client.create_logged_model(
            chance.choice(experiments[:3]),
            f"{chance.choice(['tree', 'Tree', 'tr_e', 'ein wald'])}{index % 7}",
            chance.choice([None, *run_ids[:5]]),
            {key: chance.choice(TEXTS) for key in some(chance, VALUE_KEYS, 4)},
            {key: chance.choice(TEXTS) for key in some(chance, VALUE_KEYS, 4)},
            chance.choice([None, "sklearn", "Sklearn", ""]),
        )
        # One value for each: of several, MLflow compares any up to release 3.17, and the latest from then on.
        for key in some(chance, METRIC_KEYS[:4], 3):
            name, digest = chance.choice([("wine", "d1"), ("iris", "d1"), (None, None)])
            value, time = chance.choice(NUMBERS), chance.choice(TIMES)
            client.log_metric(chance.choice(run_ids[:5]), key, value, time, 0, None, name, digest, model.model_id)
        if chance.random() < 0.6:
            client.finalize_logged_model(model.model_id, chance.choice(["READY", "FAILED"]))
        if chance.random() < 0.1:
            client.delete_logged_model(model.model_id)


class Grammar:
    """Clauses of one search in the many ways that they may be spelled."""

    def __init__(self, seed, any_case=True):
        self.chance = random.Random(seed)
        self.any_case = any_case

    def one(self, *items):
        return self.chance.choice(items)

    def joined(self, clause):
        """Clauses joined by AND, in any case and with any space."""
        count = self.chance.choices([0, 1, 2, 3, 4], [1, 8, 6, 3, 1])[0]
        if not count:
            return ""
        joint = self.one(" AND ", " and ", "  And\n", " AND\t")
        text = joint.join(clause() for _ in range(count))
        return text + self.one("", "", "", "", "", "", " AND", " ")

    def case(self, word):
        """An operator, in any case where MLflow takes that."""
        return word if not self.any_case else self.one(word, word, word.lower(), word.title())

    def key(self, key):
        """Quoted where it must be, and sometimes where it need not be."""
        is_plain = key.isascii() and key.replace(".", "").replace("_", "").isalnum() and not key[0].isdigit()
        if is_plain and self.chance.random() < 0.6:
            return key
        return self.one(f"`{key}`", f'"{key}"')

    def text(self, value):
        quotes = [quote for quote in "'\"" if quote not in value]
        quote = self.one(*quotes) if quotes else "'"
        return f"{quote}{value.replace(quote, '')}{quote}"

    def listed(self, values):
        texts = [self.text(value) for value in values]
        return f"({', '.join(texts)}{self.one('', ',') if len(texts) == 1 else ''})"

    def pattern(self, value):
        """A LIKE pattern that was made from a value."""
        if not value:
            return self.one("", "%", "_%")
        at = self.chance.randrange(len(value))
        return self.one(
            value, f"{value[:at]}%", f"%{value[at:]}", f"%{value[at]}%", f"{value[:at]}_{value[at + 1 :]}", value.upper(), value.lower()
        )

    def number(self):
        value = self.one(*NUMBERS)
        if value != value or value in (float("inf"), float("-inf")):
            value = self.one(1.7976931348623157e308, -1.7976931348623157e308, 0.0)
        if value == int(value) and abs(value) < 1e17 and self.chance.random() < 0.7:
            return str(int(value))
        # MLflow's parser knows no sign before a positive exponent.
        text = repr(value).replace("e+", "e")
        return self.one(text, text, text.upper())

    def compare(self, name, operators, value):
        operator = self.one(*operators)
        space = self.one(" ", " ", " ", "  ", "")
        return f"{name}{space}{operator}{space}{value}"

    def of_text(self, name, values, lists=False, nulls=False):
        """A clause on something that holds text."""
        kinds = ["=", "!=", "LIKE", "ILIKE"] + ["IN", "NOT IN"] * lists + ["IS NULL", "IS NOT NULL"] * nulls
        kind = self.one(*kinds)
        value = self.one(*values)
        if kind in ("=", "!="):
            return self.compare(name, [kind], self.text(value))
        if kind.endswith("LIKE"):
            return f"{name} {self.case(kind)} {self.text(self.pattern(value))}"
        if kind.endswith("IN"):
            some_values = [value.replace("\\", "").replace("\n", "") for value in self.chance.choices(values, k=self.chance.randint(1, 3))]
            return f"{name} {kind} {self.listed(some_values)}"
        return f"{name} {kind}"

    def of_number(self, name, value):
        return self.compare(name, ["=", "!=", ">", ">=", "<", "<="], value)

    def direction(self):
        return self.one("", "", " ASC", " DESC", " desc", " asc", "  DESC")

    # Runs

    def attribute(self):
        return self.one("", "attributes.", "attribute.", "attr.", "run.")

    def run_clause(self, run_ids):
        kind = self.chance.choices(
            ["metric", "param", "tag", "text", "time", "id", "dataset"], [5, 4, 4, 3, 2, 1, 1.5]
        )[0]
        if kind == "metric":
            return self.of_number(f"{self.one('metrics', 'metric')}.{self.key(self.one(*METRIC_KEYS))}", self.number())
        if kind == "param":
            name = f"{self.one('params', 'param', 'parameter', 'parameters')}.{self.key(self.one(*VALUE_KEYS))}"
            return self.of_text(name, TEXTS, nulls=True)
        if kind == "tag":
            name = f"{self.one('tags', 'tag')}.{self.key(self.one(*VALUE_KEYS, 'mlflow.user', 'mlflow.runName', 'none'))}"
            return self.of_text(name, TEXTS + NAMES[:6] + USERS, nulls=True)
        if kind == "text":
            key, values = self.one(
                ("status", STATUSES), ("user_id", USERS), ("run_name", NAMES), ("`Run name`", NAMES), ("artifact_uri", ["mlflow-artifacts:/0/"])
            )
            return self.of_text(self.attribute() + key, values)
        if kind == "time":
            key = self.one("start_time", "end_time", "created", "Created")
            return self.of_number(self.attribute() + key, self.one(*map(str, TIMES), "1e3", "1000.5"))
        if kind == "id":
            return self.of_text(self.attribute() + "run_id", run_ids, lists=True)
        name, values = self.one(("name", ["wine", "Wine", "wi_e", "iris"]), ("digest", ["d1", "d2", "d3"]), ("context", CONTEXTS[:3]))
        return self.of_text(f"{self.one('dataset', 'datasets')}.{name}", values, lists=True)

    def run_order(self):
        keys = [("metrics", key) for key in METRIC_KEYS] + [("params", key) for key in VALUE_KEYS[:5]]
        keys += [("tags", key) for key in VALUE_KEYS[:5]]
        attributes = ["start_time", "end_time", "status", "run_name", "user_id", "run_id", "artifact_uri"]
        keys += 2 * [("", key) for key in attributes]
        picked = list(dict.fromkeys(self.chance.choices(keys, k=self.chance.choice([0, 1, 1, 2, 3]))))
        items = []
        for entity, key in picked:
            if entity:
                items.append(f"{entity}.{self.key(key)}{self.direction()}")
            else:
                items.append(f"{self.attribute()}{key}{self.direction()}")
        return items

    # The other searches

    def tag_clause(self, nulls):
        return self.of_text(f"{self.one('tags', 'tag')}.{self.key(self.one(*VALUE_KEYS))}", TEXTS, nulls=nulls)

    def experiment_clause(self, ids):
        kind = self.one("name", "id", "time", "tag")
        attribute = self.one("", "attribute.")
        if kind == "name":
            return self.of_text(attribute + "name", [f"{name} {index}" for index, name in enumerate(NAMES)] + NAMES)
        if kind == "id":
            operator = self.one("=", "!=", "IN", "NOT IN")
            value = self.listed(self.chance.choices(ids, k=2)) if operator.endswith("IN") else self.text(self.one(*ids))
            return f"{attribute}experiment_id {operator} {value}"
        if kind == "time":
            return self.of_number(attribute + self.one("creation_time", "last_update_time"), self.one("0", "1700000000000", "9999999999999"))
        return self.tag_clause(nulls=True)

    def experiment_order(self):
        keys = self.chance.sample(["name", "experiment_id", "creation_time", "last_update_time"], self.chance.randint(0, 3))
        return [f"{self.one('', 'attribute.')}{key}{self.direction()}" for key in keys]

    def model_clause(self, names):
        if self.chance.random() < 0.5:
            return self.tag_clause(nulls=False)
        return self.of_text(self.one("", "attribute.") + "name", names, lists=True)

    def model_order(self):
        keys = self.chance.sample(["name", self.one("timestamp", "last_updated_timestamp")], self.chance.randint(0, 2))
        return [key + self.direction() for key in keys]

    def version_clause(self, names, run_ids):
        kind = self.one("name", "run_id", "source_path", "version_number", "tag")
        if kind == "tag":
            return self.tag_clause(nulls=False)
        if kind == "version_number":
            return self.of_number(kind, self.one("0", "1", "2", "3"))
        values = {"name": names, "run_id": run_ids, "source_path": [f"s3://models/{name}" for name in NAMES]}[kind]
        return self.of_text(kind, values, lists=kind != "source_path")

    def version_order(self):
        keys = ["name", "version_number", "creation_timestamp", "last_updated_timestamp"]
        return [key + self.direction() for key in self.chance.sample(keys, self.chance.randint(0, 3))]

    def logged_model_clause(self, run_ids):
        # Not `status`, whose numbers MLflow compares with names up to release 3.17.
        kind = self.one("text", "time", "metric", "param", "tag")
        prefix = self.one("", "attributes.")
        single = [text for text in TEXTS if "'" not in text and text]
        if kind == "text":
            key, values = self.one(
                ("name", [f"tree{index}" for index in range(7)] + ["Tree1", "tr_e2"]),
                ("model_type", ["sklearn", "Sklearn"]),
                ("source_run_id", run_ids),
            )
            return self.single(prefix + key, values)
        if kind == "time":
            key = self.one("creation_timestamp", "creation_time", "attributes.creation_timestamp_ms", "last_updated_timestamp_ms")
            return self.of_number(key, self.one("0", "1700000000000", "9999999999999"))
        if kind == "metric":
            return self.of_number(f"metrics.{self.one('acc', 'Acc', '`loss/val`', '`a b`')}", self.number())
        key = self.one(*VALUE_KEYS)
        return self.single(f"{kind}s.{key if key.isascii() and key.isalpha() else f'`{key}`'}", single)

    def single(self, name, values):
        """A clause on text for the stricter parser, which knows single quotes only."""
        kind = self.one("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN")
        value = self.one(*values)
        if kind.endswith("IN"):
            listed = [value for value in self.chance.choices(values, k=2) if value.isprintable() and "\\" not in value] or ["a"]
            return f"{name} {kind} ({', '.join(repr(value) for value in listed)})"
        return f"{name} {kind} '{self.pattern(value) if kind.endswith('LIKE') else value}'"

    def logged_model_order(self):
        keys = ["name", "creation_timestamp", "last_updated_timestamp", "model_type", "source_run_id", "metrics.acc", "metrics.loss/val"]
        picked = self.chance.sample(keys, self.chance.randint(0, 3))
        return [{"field_name": key, "ascending": self.one(True, False)} for key in picked]
