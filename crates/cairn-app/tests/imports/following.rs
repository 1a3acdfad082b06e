//! What is written to a folder while it is followed.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::{Duration, Instant},
};

use cairn_app::imports::{CancellationToken, Following, ImportOptions, Importer, follow};

use crate::{
    Target,
    folders::{Mlruns, run_id},
};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until something is so, looking again at each message.
fn until(told: &Receiver<Following>, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not come in");
        // A message may have come before the rows of a later one: look at least every so often.
        let _ = told.recv_timeout(Duration::from_millis(200));
    }
}

#[test]
fn runs_lines_and_files_that_are_written_later_arrive() {
    let folder = Mlruns::new();
    let run = folder.run("0", 'a');
    folder.run_meta(&run, &run_id('a'), "status: 1\nend_time: null\n");
    let target = Target::new();
    let mut importer =
        Importer::open(&target.store, &folder.root(), ImportOptions::default()).unwrap();
    importer.pass(&CancellationToken::new(), &|_| {}).1.unwrap();
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let (sender, told) = sync_channel(64);
    let following = thread::spawn(move || {
        follow(&mut importer, &stop, &|following| {
            let _ = sender.try_send(following.clone());
        })
    });
    let began = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(began.arrivals, 0);
    assert_eq!(began.polls_because, None);

    folder.append(&format!("{run}/metrics/loss"), "1700000002000 0.125 2\n");
    until(&told, "a line", || target.history(&run_id('a'), "loss").len() == 3);
    // The beginning of a line waits for its end.
    folder.append(&format!("{run}/metrics/loss"), "1700000003000 0.0625 3\n1700000004000 0.5");
    until(&told, "the next line", || target.history(&run_id('a'), "loss").len() == 4);
    folder.append(&format!("{run}/metrics/loss"), "55 4\n");
    until(&told, "the line in two parts", || target.history(&run_id('a'), "loss").len() == 5);
    assert_eq!(target.history(&run_id('a'), "loss")[4], (1_700_000_004_000, 4, 0.555));

    folder.run("0", 'b');
    let is_there = |id: &str| {
        let id: cairn_core::RunId = id.parse().unwrap();
        target.store.read_blocking(|tx| tx.run_info(&id)).is_ok()
    };
    until(&told, "a new run", || is_there(&run_id('b')));
    folder.experiment("5", "later");
    folder.run("5", 'c');
    until(&told, "a run of a new experiment", || is_there(&run_id('c')));

    folder.write(&format!("{run}/artifacts/deep/model"), "bytes");
    let path = format!("0/{}/artifacts/deep/model", run_id('a'));
    until(&told, "a file", || target.artifact(&path).is_some());
    folder.run_meta(&run, &run_id('a'), "status: 3\n");
    until(&told, "the end of the run", || {
        target.run(&run_id('a')).info.status == cairn_core::RunStatus::Finished
    });
    cancel.cancel();
    following.join().unwrap().unwrap();
}
