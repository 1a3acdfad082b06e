//! Notebooks as entry points, with the real papermill.

use std::fs;

use cairn_runtime::environment::notebook::{self, NotebookParameter};
use cairn_runtime::{CancellationToken, Environments, Process, ProcessSpec};

const NOTEBOOK: &str = r#"{
 "cells": [
  {"cell_type": "code", "id": "a", "metadata": {"tags": ["parameters"]}, "execution_count": null, "outputs": [],
   "source": ["alpha = 0.1\n", "label = 'none'"]},
  {"cell_type": "code", "id": "b", "metadata": {}, "execution_count": null, "outputs": [],
   "source": ["import os, sys\n", "print('alpha', repr(alpha), 'label', repr(label), sys.prefix, os.getcwd())\n",
    "assert alpha < 1, 'alpha is too large'"]}
 ],
 "metadata": {"kernelspec": {"display_name": "Some other", "language": "python", "name": "some-other"}},
 "nbformat": 4, "nbformat_minor": 5
}"#;

#[tokio::test]
async fn notebook_gets_typed_parameters_and_is_kept_up_to_the_cell_that_failed() {
    let data = tempfile::tempdir().expect("a folder");
    let folder = tempfile::tempdir().expect("a folder");
    let notebook = folder.path().join("train.ipynb");
    fs::write(&notebook, NOTEBOOK).expect("written");
    let cancel = CancellationToken::new();
    let environment = Environments::new(data.path())
        .ensure(&notebook::papermill_alone(), &|_| (), &cancel)
        .await
        .unwrap_or_else(|error| panic!("{error} {:?}", error.detail()));
    let run = async |alpha: &str| {
        let output = folder.path().join(format!("out-{alpha}.ipynb"));
        let parameter = |name: &str, value: &str, is_typed| NotebookParameter {
            name: name.to_owned(),
            value: value.to_owned(),
            is_typed,
        };
        let parameters =
            [parameter("alpha", alpha, true), parameter("label", "1; $(id) it's", false)];
        let argv = notebook::command(
            &environment.python(),
            &notebook,
            &output,
            folder.path(),
            &parameters,
        );
        let mut spec: ProcessSpec = environment.process(&argv[0], folder.path());
        spec = spec.args(argv[1..].iter().cloned());
        let (exit, text) =
            Process::spawn(&spec, &cancel).expect("it starts").run_to_end(200, |_| ()).await;
        (exit.is_success(), text, fs::read_to_string(output).expect("it is kept"))
    };
    let real = folder.path().canonicalize().expect("it is there");
    let expected = format!(
        "alpha 0.5 label \"1; $(id) it's\" {} {}",
        environment.folder().display(),
        real.display()
    );
    let (succeeded, text, kept) = run("0.5").await;
    assert!(succeeded, "{text}");
    assert!(text.contains(&expected), "{text}");
    assert!(kept.contains("alpha 0.5 label"), "{kept}");

    let (succeeded, text, kept) = run("2").await;
    assert!(!succeeded, "{text}");
    assert!(kept.contains("alpha is too large"), "{kept}");
}
