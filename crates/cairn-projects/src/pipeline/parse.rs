//! Reads the section `pipeline:`.

use super::{
    MAX_STEPS, Node, Parameter, ParameterKind, Pipeline, Place, Problem, Project, Reference, Step,
    Template, present, shortened,
};
use crate::project::PROJECT_FILE;

/// Reads the section, and says everything that is wrong with it.
pub(super) fn pipeline(project: &Project, node: &Node) -> Result<Pipeline, Vec<Problem>> {
    let mut reader = Reader {
        file: project.file.clone().unwrap_or_else(|| PROJECT_FILE.to_owned()),
        problems: Vec::new(),
    };
    let pipeline = reader.pipeline(project, node);
    if reader.problems.is_empty() {
        reader.cycles(&pipeline);
    }
    if reader.problems.is_empty() { Ok(pipeline) } else { Err(reader.problems) }
}

struct Reader {
    file: String,
    problems: Vec<Problem>,
}

impl Reader {
    fn problem(&mut self, place: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem::at(self.file.clone(), place, message, hint.into()));
    }

    fn pipeline(&mut self, project: &Project, node: &Node) -> Pipeline {
        const EXAMPLE: &str = "For example:\n  pipeline:\n    steps:\n      clean: {}\n      train:\n        \
                               parameters: {data: \"${steps.clean.artifacts.data.csv}\"}";
        let mut pipeline = Pipeline { parameters: Vec::new(), steps: Vec::new() };
        let Some(entries) = node.entries() else {
            self.problem(
                node.place,
                format!("\"pipeline\" is a mapping, and this is {}", node.kind()),
                EXAMPLE,
            );
            return pipeline;
        };
        for (key, _) in entries {
            if !matches!(key.text.as_str(), "parameters" | "steps") {
                self.problem(
                    key.place,
                    format!("a pipeline has no key \"{}\"", shortened(&key.text)),
                    "It has parameters and steps.",
                );
            }
        }
        if let Some(parameters) = present(node, "parameters") {
            pipeline.parameters = self.parameters(parameters);
        }
        let Some(steps) = present(node, "steps") else {
            self.problem(node.place, "the pipeline has no steps", EXAMPLE);
            return pipeline;
        };
        let Some(entries) = steps.entries() else {
            self.problem(
                steps.place,
                format!("\"steps\" is a mapping from names to steps, and this is {}", steps.kind()),
                EXAMPLE,
            );
            return pipeline;
        };
        if entries.is_empty() {
            self.problem(steps.place, "the pipeline has no steps", EXAMPLE);
        }
        if let Some((key, _)) = entries.get(MAX_STEPS) {
            self.problem(
                key.place,
                format!("the pipeline has more than {MAX_STEPS} steps"),
                "Put several into one entry point, or make two pipelines.",
            );
        }
        let names: Vec<&str> = entries.iter().map(|(key, _)| key.text.as_str()).collect();
        for (key, node) in entries.iter().take(MAX_STEPS) {
            let step = self.step(project, &pipeline.parameters, &names, &key.text, key.place, node);
            pipeline.steps.push(step);
        }
        pipeline
    }

    fn parameters(&mut self, node: &Node) -> Vec<Parameter> {
        let Some(entries) = node.entries() else {
            self.problem(
                node.place,
                format!(
                    "\"parameters\" is a mapping from names to types, and this is {}",
                    node.kind()
                ),
                "For example: parameters: {url: {type: uri, default: \"https://example.org\"}}",
            );
            return Vec::new();
        };
        let mut found = Vec::new();
        for (key, node) in entries {
            let text = |node: &Node| node.text().map(str::to_owned);
            let (kind, default) = match node.entries() {
                Some(_) => (
                    present(node, "type").and_then(text).unwrap_or_else(|| "string".to_owned()),
                    present(node, "default").and_then(text),
                ),
                None if node.is_null() => ("string".to_owned(), None),
                None => {
                    let Some(kind) = text(node) else {
                        self.problem(
                            node.place,
                            format!(
                                "the parameter \"{}\" is {}, not a type",
                                shortened(&key.text),
                                node.kind()
                            ),
                            "Write a type (string, float, path, uri), or {type: float, default: 0.5}.",
                        );
                        continue;
                    };
                    (kind, None)
                }
            };
            found.push(Parameter {
                name: key.text.clone(),
                kind: ParameterKind::parse(&kind),
                default,
                place: key.place,
            });
        }
        found
    }

    fn step(
        &mut self,
        project: &Project,
        parameters: &[Parameter],
        names: &[&str],
        name: &str,
        place: Place,
        node: &Node,
    ) -> Step {
        let mut step = Step {
            name: name.to_owned(),
            entry_point: name.to_owned(),
            needs: Vec::new(),
            parameters: Vec::new(),
            place,
        };
        let is_name = !name.is_empty()
            && name.len() <= 60
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if !is_name {
            self.problem(
                place,
                format!("\"{}\" cannot be a step's name", shortened(name)),
                "Use letters, digits, _ and -, at most 60 of them.",
            );
        }
        let Some(entries) = node.entries().or(node.is_null().then_some(&[])) else {
            self.problem(
                node.place,
                format!("the step \"{}\" is {}, not a mapping", shortened(name), node.kind()),
                "Write {} for a step without parameters.",
            );
            return step;
        };
        for (key, _) in entries {
            if !matches!(key.text.as_str(), "entry_point" | "needs" | "parameters") {
                self.problem(
                    key.place,
                    format!("a step has no key \"{}\"", shortened(&key.text)),
                    "It has entry_point, needs and parameters.",
                );
            }
        }
        let mut entry_place = place;
        if let Some(entry) = present(node, "entry_point") {
            entry_place = entry.place;
            match entry.text() {
                Some(text) => text.clone_into(&mut step.entry_point),
                None => self.problem(
                    entry.place,
                    format!("\"entry_point\" is a text, and this is {}", entry.kind()),
                    "For example: entry_point: train",
                ),
            }
        }
        let is_script = [".py", ".sh", ".ipynb"].iter().any(|end| step.entry_point.ends_with(end));
        if !is_script && !project.entry_points.iter().any(|entry| entry.name == step.entry_point) {
            let known: Vec<&str> =
                project.entry_points.iter().map(|entry| entry.name.as_str()).collect();
            self.problem(
                entry_place,
                format!("the project has no entry point \"{}\"", shortened(&step.entry_point)),
                format!("It has {}; name one with entry_point.", known.join(", ")),
            );
        }
        let mut needs: Vec<String> = Vec::new();
        if let Some(node) = present(node, "needs") {
            let one = std::slice::from_ref(node);
            for item in node.items().unwrap_or(one) {
                match item.text() {
                    Some(need) if names.contains(&need) => needs.push(need.to_owned()),
                    Some(need) => self.unknown_step(item.place, need, names),
                    None => self.problem(
                        item.place,
                        format!("\"needs\" is a list of steps, and this is {}", item.kind()),
                        "For example: needs: [clean]",
                    ),
                }
            }
        }
        if let Some(values) = present(node, "parameters") {
            let Some(entries) = values.entries() else {
                self.problem(
                    values.place,
                    format!(
                        "\"parameters\" is a mapping from names to values, and this is {}",
                        values.kind()
                    ),
                    "For example: parameters: {alpha: 0.5}",
                );
                return step;
            };
            for (key, value) in entries {
                let Some(text) = value.text() else {
                    self.problem(
                        value.place,
                        format!("the value of \"{}\" is {}", shortened(&key.text), value.kind()),
                        "A value is one text or number; put quotes around it.",
                    );
                    continue;
                };
                match Template::parse(text) {
                    Ok(template) => {
                        for reference in template.references() {
                            self.reference(value.place, reference, parameters, names, &mut needs);
                        }
                        step.parameters.push((key.text.clone(), template));
                    }
                    Err((message, hint)) => self.problem(value.place, message, hint),
                }
            }
        }
        step.needs = names
            .iter()
            .filter(|name| needs.iter().any(|need| need == *name))
            .map(|name| (*name).to_owned())
            .collect();
        step
    }

    fn reference(
        &mut self,
        place: Place,
        reference: &Reference,
        parameters: &[Parameter],
        names: &[&str],
        needs: &mut Vec<String>,
    ) {
        match reference {
            Reference::Parameter(name) => {
                if !parameters.iter().any(|parameter| parameter.name == *name) {
                    self.problem(
                        place,
                        format!("the pipeline has no parameter \"{}\"", shortened(name)),
                        "Declare it under pipeline: parameters.",
                    );
                }
            }
            Reference::Step { step, .. } if names.contains(&step.as_str()) => {
                needs.push(step.clone());
            }
            Reference::Step { step, .. } => self.unknown_step(place, step, names),
        }
    }

    fn unknown_step(&mut self, place: Place, step: &str, names: &[&str]) {
        self.problem(
            place,
            format!("the pipeline has no step \"{}\"", shortened(step)),
            format!("It has {}.", names.join(", ")),
        );
    }

    /// Says which steps wait for each other, at the first of them.
    fn cycles(&mut self, pipeline: &Pipeline) {
        let ordered: Vec<&str> = pipeline.order().iter().map(|step| step.name.as_str()).collect();
        let Some(first) = pipeline.steps.iter().find(|step| !ordered.contains(&step.name.as_str()))
        else {
            return;
        };
        // Going back along what is waited for must come to a step a second time.
        let mut path = vec![first];
        loop {
            let last = path[path.len() - 1];
            let Some(next) = last
                .needs
                .iter()
                .filter(|need| !ordered.contains(&need.as_str()))
                .find_map(|need| pipeline.step(need))
            else {
                return;
            };
            if let Some(at) = path.iter().position(|step| step.name == next.name) {
                let mut names: Vec<&str> =
                    path[at..].iter().rev().map(|step| step.name.as_str()).collect();
                let place = path[at].place;
                names.push(names[0]);
                self.problem(
                    place,
                    format!("the steps wait for each other: {}", names.join(" → ")),
                    "Remove one of these references or needs.",
                );
                return;
            }
            path.push(next);
        }
    }
}
