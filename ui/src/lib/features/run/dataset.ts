/** What clients record about a dataset, read from the JSON texts that MLflow keeps. */

/** A column or tensor of a dataset. */
export interface DatasetColumn {
  readonly name: string;
  readonly type: string;
  readonly isRequired: boolean;
}

function parse(json: string | null): unknown {
  if (json === null) return undefined;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Text of a value that is not known to be text. */
function textOf(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}

/**
 * The columns of a schema, or `null` where it is none that is known. `mlflow_colspec` lists columns;
 * `mlflow_tensorspec` describes features and targets as one tensor or several.
 */
export function readSchema(schema: string | null): DatasetColumn[] | null {
  const value = parse(schema);
  if (!isRecord(value)) return null;
  const columns = value["mlflow_colspec"];
  if (Array.isArray(columns)) return columns.filter(isRecord).map(readColumn);
  const tensors = value["mlflow_tensorspec"];
  if (!isRecord(tensors)) return null;
  return ["features", "targets"].flatMap((part) => readTensors(part, tensors[part]));
}

function readColumn(column: Record<string, unknown>): DatasetColumn {
  return {
    name: typeof column["name"] === "string" ? column["name"] : "(unnamed)",
    type: textOf(column["type"]),
    isRequired: column["required"] !== false,
  };
}

function readTensors(part: string, spec: unknown): DatasetColumn[] {
  const list = typeof spec === "string" ? parse(spec) : spec;
  if (!Array.isArray(list)) return [];
  return list.filter(isRecord).map((tensor) => {
    const details = isRecord(tensor["tensor-spec"]) ? tensor["tensor-spec"] : {};
    const shape = Array.isArray(details["shape"]) ? details["shape"] : [];
    return {
      name: typeof tensor["name"] === "string" ? `${part}.${tensor["name"]}` : part,
      type: `${textOf(details["dtype"])} [${shape.map((n) => (n === -1 ? "…" : textOf(n))).join(" × ")}]`,
      isRequired: true,
    };
  });
}

/** The counts of a profile: name in words and value, in the order in which the client gave them. */
export function readProfile(profile: string | null): [name: string, value: string][] {
  const value = parse(profile);
  if (!isRecord(value)) return [];
  return Object.entries(value).map(([name, count]) => [
    name.replace(/^num_/, "").replaceAll("_", " "),
    typeof count === "number" ? count.toLocaleString("en") : textOf(count),
  ]);
}

/** Where a dataset came from, as short as it can be said; `null` where the source names no place. */
export function readSource(source: string): string | null {
  const value = parse(source);
  if (!isRecord(value)) return source.trim() === "" ? null : source;
  for (const key of ["uri", "url", "path", "table_name", "delta_table_name"]) {
    const place = value[key];
    if (typeof place === "string" && place !== "") return place;
  }
  const tags = value["tags"];
  if (isRecord(tags)) {
    const script = tags["mlflow.source.name"];
    if (typeof script === "string") return script;
  }
  return null;
}
