//! `cairn chart`, as a person calls it.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use cairn_core::{ExperimentId, MetricPoint, MetricValue, RunId};
use cairn_store::{
    OpenOptions, Store,
    experiments::NewExperiment,
    metrics::{Batch, NewMetric},
    runs::{NewRun, Param},
};

struct World {
    home: tempfile::TempDir,
    store: Store,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("store"), OpenOptions::Create).unwrap();
        Self { home, store }
    }

    /// A run of an experiment with `loss` falling from a height, and a parameter.
    fn run(&self, experiment: ExperimentId, name: &str, lr: &str, height: f64) -> RunId {
        let new = NewRun {
            experiment_id: experiment,
            user_id: "ada".into(),
            run_name: Some(name.into()),
            start_time: 1_000,
            tags: vec![],
        };
        let id = self.store.write_blocking(move |tx| tx.create_run(&new)).unwrap().info.run_id;
        let param = Param { key: "lr".into(), value: lr.into() };
        let metric = |step: i64| NewMetric {
            point: MetricPoint {
                key: "loss".into(),
                value: MetricValue(if step == 3 { f64::NAN } else { height / (step + 1) as f64 }),
                timestamp: 1_000 + step,
                step,
            },
            model_id: None,
            dataset_name: None,
            dataset_digest: None,
        };
        let batch = Batch {
            metrics: (0..6).map(metric).collect(),
            params: vec![param],
            ..Batch::default()
        };
        let run = id.clone();
        self.store.write_blocking(move |tx| tx.log_batch(&run, &batch)).unwrap();
        id
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }

    fn chart(&self, arguments: &[&str], file: &str) -> Output {
        chart(self.home.path(), arguments, &self.file(file))
    }

    /// Draws, and answers the file's text.
    fn drawn(&self, arguments: &[&str], file: &str) -> String {
        let output = self.chart(arguments, file);
        assert!(output.status.success(), "{}", errors(&output));
        assert!(output.stdout.is_empty());
        fs::read_to_string(self.file(file)).unwrap()
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.chart(arguments, "refused.svg");
        assert!(!output.status.success());
        assert!(!self.file("refused.svg").exists());
        errors(&output)
    }
}

fn chart(home: &Path, arguments: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cairn"))
        .arg("chart")
        .args(arguments)
        .arg("-o")
        .arg(file)
        .arg("--store")
        .arg(home.join("store"))
        .env("CAIRN_HOME", home.join("cairn"))
        .output()
        .unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn runs_are_drawn_as_svg_and_png() {
    let world = World::new();
    let first = world.run(ExperimentId(0), "first", "0.1", 4.0);
    let second = world.run(ExperimentId(0), "second", "0.1", 2.0);
    let ids = [first.as_str(), second.as_str()];
    let svg = world.drawn(&[ids[0], ids[1], "--metric", "loss", "--smooth", "ema:0.5"], "loss.svg");
    assert!(svg.starts_with("<svg width=\"960\" height=\"540\""));
    for words in ["loss", "first", "second", "step", "NaN"] {
        assert!(svg.lines().any(|line| line.trim() == words), "no {words}");
    }
    let size = ["--size", "400x300", "--theme", "dark", "--title", "Both", "--log-y"];
    let dark = world.drawn(&[&[ids[0], "-m", "loss"][..], &size[..]].concat(), "dark.svg");
    assert!(dark.starts_with("<svg width=\"400\" height=\"300\"") && dark.contains("#1A1917"));
    let output = world.chart(&[ids[0], "-m", "loss", "--size", "400x300"], "loss.png");
    assert!(output.status.success(), "{}", errors(&output));
    assert!(errors(&output).contains("loss.png: 1 line of 1 run"), "{}", errors(&output));
    assert_eq!(&fs::read(world.file("loss.png")).unwrap()[..8], b"\x89PNG\r\n\x1a\n");
}

#[test]
fn groups_of_an_experiment_have_bands() {
    let world = World::new();
    let new = NewExperiment { name: "churn".into(), artifact_location: None, tags: vec![] };
    let churn = world.store.write_blocking(move |tx| tx.create_experiment(&new)).unwrap();
    for (lr, height) in [("0.1", 2.0), ("0.1", 4.0), ("0.01", 8.0)] {
        world.run(churn, "run", lr, height);
    }
    world.run(ExperimentId(0), "other", "0.5", 1.0);
    let group = ["-m", "loss * 10", "--group-by", "lr", "--band", "minmax", "-e", "churn"];
    let csv = world.drawn(&group, "loss.csv");
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!(rows[0], "line,runs,metric,points,step,value,low,high");
    assert_eq!(rows.len(), 13);
    assert!(
        rows[1].starts_with("lr = 0.01 (1),") && rows[1].ends_with(",loss * 10,line,0,80,80,80")
    );
    assert!(rows[7].starts_with("lr = 0.1 (2),") && rows[7].ends_with(",line,0,30,20,40"), "{csv}");
    assert!(rows[10].ends_with(",line,3,NaN,,"), "{csv}");
    let range = ["--x-range", "1:2", "--center", "median", "--filter", "params.lr = 0.1"];
    let some = world.drawn(&[&group[..], &range[..]].concat(), "some.csv");
    assert_eq!(some.lines().count(), 3, "{some}");
    // Deviations of one run are none.
    let std = ["-m", "loss", "-g", "lr", "--band", "ci95", "-f", "params.lr = 0.01"];
    assert!(world.drawn(&std, "one.csv").lines().nth(1).unwrap().ends_with(",0,8,,"));
}

#[test]
fn axes_are_times_metrics_and_formulas() {
    let world = World::new();
    let run = world.run(ExperimentId(0), "run", "0.1", 6.0);
    let places = |x: &str| -> Vec<String> {
        let csv = world.drawn(&[run.as_str(), "-m", "loss", "--x", x], "x.csv");
        csv.lines().map(|row| row.split(',').nth(4).unwrap().to_owned()).collect()
    };
    assert_eq!(places("time")[..3], ["time_ms", "1000", "1001"]);
    assert_eq!(places("relative")[..3], ["seconds", "0", "0.001"]);
    // Where the other has no finite value there is no place; the smallest comes first.
    assert_eq!(places("loss * 2")[..3], ["loss * 2", "2", "2.4"]);
}

#[test]
fn what_is_left_out_is_said() {
    let world = World::new();
    let with = world.run(ExperimentId(0), "with", "0.1", 6.0);
    let new = NewRun {
        experiment_id: ExperimentId(0),
        user_id: "ada".into(),
        run_name: Some("without".into()),
        start_time: 1_000,
        tags: vec![],
    };
    let without = world.store.write_blocking(move |tx| tx.create_run(&new)).unwrap().info.run_id;
    let output = world.chart(&[with.as_str(), without.as_str(), "-m", "loss"], "loss.svg");
    assert!(output.status.success());
    let note = format!("note: left out: run {without} has no metric “loss”");
    assert!(errors(&output).contains(&note), "{}", errors(&output));
}

#[test]
fn refusals_say_what_and_where() {
    let world = World::new();
    let run = world.run(ExperimentId(0), "run", "0.1", 6.0);
    let run = run.as_str();
    let refused = |arguments: &[&str], words: &str| {
        let text = world.refused(arguments);
        assert!(text.contains(words), "{text}");
    };
    refused(&[run, "-m", "lss"], "The run has no metric “lss”. There is “loss”.");
    refused(&[run, "-m", "loss +* 2"], "\n  loss +* 2\n        ^");
    refused(&[run, "-m", "best(loss)"], "is one number of a run");
    refused(&[run, "-m", "loss", "--smooth", "ema:1.5"], "needs a weight from 0 to below 1");
    refused(&[run, "-m", "loss", "--x-range", "5:1"], "5 is not before 1");
    refused(
        &[run, "-m", "loss", "--x-range", "50:60"],
        "There is no point in the range of x: the points lie from step 0 to step 5.",
    );
    refused(&[run, "-m", "loss", "--size", "10x10"], "is no size");
    refused(&[run, "-m", "loss", "--band", "std"], "--group-by");
    refused(&["abc", "-m", "loss"], "There is no run abc in");
    refused(&["-m", "loss"], "Which runs?");
    refused(&["-m", "loss", "-e", "nowhere"], "--experiment");
    refused(&["-m", "loss", "-f", "metrics.loss >"], "\n  metrics.loss >\n");
    refused(&["-m", "loss", "-f", "metrics.loss > 99"], "No run matches");
    refused(&[run, "-e", "0", "-m", "loss"], "cannot be used with");
    let output = world.chart(&[run, "-m", "loss"], "loss.gif");
    assert!(errors(&output).contains("must end in .svg, .png or .csv"), "{}", errors(&output));
}
