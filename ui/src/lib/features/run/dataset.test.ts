import { describe, expect, it } from "vitest";
import { readProfile, readSchema, readSource } from "./dataset";

describe("dataset schema", () => {
  it("lists the columns of a table", () => {
    const schema = JSON.stringify({
      mlflow_colspec: [
        { type: "double", name: "mean radius", required: true },
        { type: "long", required: false },
      ],
    });
    expect(readSchema(schema)).toEqual([
      { name: "mean radius", type: "double", isRequired: true },
      { name: "(unnamed)", type: "long", isRequired: false },
    ]);
  });

  it("lists tensors, given as text or as a list", () => {
    const tensor = { type: "tensor", "tensor-spec": { dtype: "float64", shape: [-1, 28, 28] } };
    const schema = {
      mlflow_tensorspec: {
        features: JSON.stringify([tensor]),
        targets: [{ ...tensor, name: "label", "tensor-spec": { dtype: "int64", shape: [-1] } }],
      },
    };
    expect(readSchema(JSON.stringify(schema))).toEqual([
      { name: "features", type: "float64 [… × 28 × 28]", isRequired: true },
      { name: "targets.label", type: "int64 […]", isRequired: true },
    ]);
  });

  it("is none where the text is none that is known", () => {
    expect(readSchema(null)).toBeNull();
    expect(readSchema("{")).toBeNull();
    expect(readSchema('{"other": 1}')).toBeNull();
    expect(readSchema('{"mlflow_tensorspec": {"features": 3, "targets": null}}')).toEqual([]);
  });
});

describe("dataset profile", () => {
  it("is said in words", () => {
    expect(readProfile('{"num_rows": 150000, "num_elements": 2}')).toEqual([
      ["rows", "150,000"],
      ["elements", "2"],
    ]);
    expect(readProfile('{"features_shape": [3, 4]}')).toEqual([["features shape", "[3,4]"]]);
    expect(readProfile("[]")).toEqual([]);
  });
});

describe("dataset source", () => {
  it("is the place that it names", () => {
    expect(readSource('{"uri": "s3://bucket/a.csv"}')).toBe("s3://bucket/a.csv");
    expect(readSource('{"url": "https://example.org/a.csv"}')).toBe("https://example.org/a.csv");
    expect(readSource('{"tags": {"mlflow.source.name": "train.py"}}')).toBe("train.py");
    expect(readSource("a plain text")).toBe("a plain text");
  });

  it("is none where nothing is named", () => {
    expect(readSource("")).toBeNull();
    expect(readSource("{}")).toBeNull();
  });
});
