//! Every reason to leave something out, and that nothing else is lost with it.

use std::{fs, os::unix::fs::symlink};

use cairn_app::imports::SkipReason;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::{
    Target, count, first,
    folders::{Mlruns, run_id},
};

#[test]
fn a_meta_yaml_that_cannot_be_read_is_named_with_its_line() {
    let folder = Mlruns::new();
    folder.run("0", 'a');
    for (digit, text) in [
        ('1', "run_id: x\nstatus: [3\n"),
        ('2', "a: 1\nb: !!python/object/apply:os.system ['id']\n"),
        ('3', "status: 3\n"),
        ('4', "run_id: ../../etc\n"),
        ('5', "run_id: 55555555555555555555555555555555\nstart_time: noon\n"),
        ('6', "run_id: 66666666666666666666666666666666\nstatus: 99\n"),
        ('7', ""),
    ] {
        folder.write(&format!("0/{}/meta.yaml", run_id(digit)), text);
    }
    folder.write("8/meta.yaml", "experiment_id: eight\nname: x\n");
    folder.write("9/meta.yaml", "experiment_id: 9\n");
    fs::create_dir_all(folder.root().join("0/stray")).unwrap();
    fs::write(folder.root().join("notes.txt"), "nobody's").unwrap();
    let target = Target::new();
    let report = target.import(&folder.root());
    assert_eq!(report.counts.runs, 1);
    assert_eq!(count(&report, SkipReason::BadMeta), 9);
    assert_eq!(count(&report, SkipReason::NoMeta), 1);
    let (path, detail) = first(&report, SkipReason::BadMeta);
    assert_eq!(path, format!("0/{}/meta.yaml", run_id('1')));
    assert!(detail.starts_with("line "), "{detail}");
    let group = &report.skipped[0];
    assert_eq!((group.first.len(), group.is_loss), (5, true));
}

#[test]
fn odd_metrics_parameters_and_tags_are_counted_and_the_rest_comes_in() {
    let folder = Mlruns::new();
    let run = folder.run("0", 'a');
    folder.write(&format!("{run}/metrics/bad"), "1 0.5 0\nx y z\n2 0.5\n1 2 3 4\n-1 0.5 0\n");
    folder.write(&format!("{run}/metrics/per%cent"), "1 1 1\n");
    folder.write(&format!("{run}/params/{}", "k".repeat(251)), "1");
    folder.write(&format!("{run}/params/bytes"), b"\xff\xfe");
    folder.write(&format!("{run}/params/long"), "é".repeat(6_001));
    folder.write(&format!("{run}/tags/huge"), vec![b'x'; (1 << 20) + 1]);
    folder.write(
        &format!("{run}/inputs/{}/meta.yaml", run_id('1')),
        "source_type: DATASET\nsource_id: gone\n",
    );
    let target = Target::new();
    let report = target.import(&folder.root());
    assert_eq!(count(&report, SkipReason::BadMetricLine), 3);
    assert_eq!(count(&report, SkipReason::BadKey), 2);
    assert_eq!(count(&report, SkipReason::NotText), 1);
    assert_eq!(count(&report, SkipReason::Cut), 1);
    assert_eq!(count(&report, SkipReason::TooLarge), 1);
    assert_eq!(count(&report, SkipReason::MissingPart), 1);
    let (path, detail) = first(&report, SkipReason::BadMetricLine);
    assert_eq!((path, detail), (format!("{run}/metrics/bad"), "line 2: x y z".to_owned()));
    assert_eq!(target.history(&run_id('a'), "bad"), [(1, 0, 0.5), (2, 0, 0.5)]);
    let imported = target.run(&run_id('a'));
    let long = imported.params.iter().find(|param| param.key == "long").unwrap();
    assert_eq!(long.value.chars().count(), 6_000);
    // What is wrong is told again as long as it is wrong.
    let again = target.import(&folder.root());
    assert_eq!(count(&again, SkipReason::BadMetricLine), 3);
    assert_eq!(again.counts.metric_values, 0);
}

#[test]
fn links_pipes_and_odd_names_are_never_followed_or_opened() {
    let folder = Mlruns::new();
    let run = folder.run("0", 'a');
    let secret = tempfile::tempdir().unwrap();
    fs::write(secret.path().join("key"), "secret").unwrap();
    folder.write(&format!("{run}/artifacts/ok"), "ok");
    let artifacts = folder.root().join(&run).join("artifacts");
    symlink(secret.path().join("key"), artifacts.join("file-link")).unwrap();
    symlink(secret.path(), artifacts.join("folder-link")).unwrap();
    symlink(".", artifacts.join("loop")).unwrap();
    symlink(secret.path().join("key"), folder.root().join(&run).join("params/stolen")).unwrap();
    symlink(secret.path(), folder.root().join("linked-experiment")).unwrap();
    symlink(folder.root().join("0"), folder.root().join("0/linked-run")).unwrap();
    for place in ["artifacts/pipe", "metrics/pipe", "tags/pipe"] {
        let path = folder.root().join(&run).join(place);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }
    let listener = std::os::unix::net::UnixListener::bind(artifacts.join("socket")).unwrap();
    folder.write(&format!("{run}/artifacts/%2e%2e"), "x");
    {
        use std::os::unix::ffi::OsStringExt as _;
        let name = std::ffi::OsString::from_vec(vec![b'a', 0xff]);
        fs::write(artifacts.join(name), "x").unwrap();
    }
    let mut deep = artifacts.clone();
    for _ in 0..80 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "x").unwrap();
    let target = Target::new();
    let report = target.import(&folder.root());
    drop(listener);
    assert_eq!(count(&report, SkipReason::Link), 6);
    assert_eq!(count(&report, SkipReason::Special), 4);
    assert_eq!(count(&report, SkipReason::BadFileName), 2);
    assert_eq!(count(&report, SkipReason::TooDeep), 1);
    assert_eq!((report.counts.runs, report.counts.files), (1, 1));
    assert!(!target.contents().contains("secret"));
}

#[test]
fn what_the_system_does_not_let_read_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Mlruns::new();
    let run = folder.run("0", 'a');
    folder.write(&format!("{run}/artifacts/locked"), "x");
    folder.write(&format!("{run}/artifacts/open"), "y");
    let locked = folder.root().join(&run).join("artifacts/locked");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    let target = Target::new();
    let report = target.import(&folder.root());
    // The superuser reads everything.
    let expected = if fs::read(&locked).is_ok() { (0, 2) } else { (1, 1) };
    assert_eq!((count(&report, SkipReason::Unreadable), report.counts.files), expected);
}

#[test]
fn ids_that_occur_twice_and_traces_are_counted() {
    let folder = Mlruns::new();
    folder.run("0", 'a');
    folder.experiment("5", "five");
    let twin = folder.run("5", 'a');
    folder.experiment_at("6", "5", "also five", "active");
    folder.write("0/traces/tr-1/trace_info.yaml", "x: 1\n");
    folder.write("0/traces/tr-2/trace_info.yaml", "x: 1\n");
    let target = Target::new();
    let report = target.import(&folder.root());
    assert_eq!(count(&report, SkipReason::SameId), 2);
    assert_eq!(first(&report, SkipReason::SameId).0, twin);
    assert_eq!(count(&report, SkipReason::Traces), 2);
    assert_eq!(report.counts.runs, 1);
}

#[test]
fn what_the_store_has_with_another_value_stays() {
    let folder = Mlruns::new();
    let run = folder.run("0", 'a');
    folder.write(&format!("{run}/artifacts/place"), "file");
    folder.registered("reg");
    folder.version("reg", 1, "None", "models:/other/1", "");
    folder.write("models/reg/aliases/champion", "1");
    let target = Target::new();
    target.import(&folder.root());
    // Another folder with the same run, logged differently, and a model of the same name.
    let other = Mlruns::new();
    let run = other.run("0", 'a');
    other.write(&format!("{run}/params/lr"), "0.5");
    other.registered("reg");
    other.write("models/reg/version-1/tags/x", "y");
    other.version("reg", 1, "Production", "models:/other/2", "1");
    other.write("models/reg/aliases/champion", "1");
    let fresh = Target::new();
    fresh.import(&folder.root());
    fs::remove_file(fresh.dir.path().join("store/cairn.db")).unwrap();
    let report = fresh.import(&other.root());
    assert_eq!(count(&report, SkipReason::ParamConflict), 1);
    assert_eq!(first(&report, SkipReason::ParamConflict).1, "the store has 0.01");
    assert_eq!(count(&report, SkipReason::Renumbered), 1);
    assert_eq!(count(&report, SkipReason::AliasKept), 1);
    assert_eq!(fresh.run(&run_id('a')).params[0].value, "0.01");
    let version = fresh.store.read_blocking(|tx| tx.model_version("reg", 2)).unwrap();
    assert_eq!(version.source.as_deref(), Some("models:/other/2"));
}
