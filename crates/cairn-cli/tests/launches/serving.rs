//! The tracking address answers for as long as a launch needs it, whoever comes and goes.

use cairn_core::run::RunStatus;
use cairn_runtime::{launch::Cause, serving, tracking::Tracking};

use crate::{Home, Server, eventually, status_of};

#[test]
fn a_stand_in_comes_when_the_server_is_killed_and_leaves_when_it_comes_back() {
    let home = Home::new();
    let data_dir = home.path().join("data");
    let server = home.serve(0, &[]);
    let (port, uri) = (server.port(), server.uri.clone());
    let (spec, run_id) = home.tracked(&server, "until [ -e stop ]; do sleep 0.1; done");
    let id = home.start_for(spec, &run_id);
    eventually("it runs", 20, || home.launches.get(&id).unwrap().child().is_some());
    server.kill();
    let tracking = Tracking::new(&uri, None).unwrap();
    // It answers a moment before it says that it is there.
    eventually("a stand-in answers", 20, || {
        serving::at_port(&data_dir, port).is_some() && tracking.get_run(&run_id).is_ok()
    });
    let stand_in = serving::at_port(&data_dir, port).unwrap();
    assert!(stand_in.is_stand_in);
    tracking.set_tag(&run_id, "logged", "by the stand-in").unwrap();

    // The same program again, at the same address: the stand-in goes.
    let server = home.serve(port, &[]);
    assert!(!stand_in.process.is_alive());
    assert!(!serving::at_port(&data_dir, port).unwrap().is_stand_in);
    assert_eq!(status_of(&server, &run_id).tags["logged"], "by the stand-in");
    assert_eq!(status_of(&server, &run_id).info.status, RunStatus::Running);

    // Asked to end: the next stand-in comes, and ends by itself after the run.
    server.end();
    eventually("a stand-in answers", 20, || {
        serving::at_port(&data_dir, port).is_some() && tracking.get_run(&run_id).is_ok()
    });
    std::fs::write(home.path().join("stop"), "").unwrap();
    assert_eq!(home.cause(&id, 20), Cause::Code { code: 0 }, "{}", home.told(&id));
    assert_eq!(tracking.get_run(&run_id).unwrap().info.status, RunStatus::Finished);
    let stand_in = serving::at_port(&data_dir, port).unwrap();
    eventually("the stand-in ends", 20, || !stand_in.process.is_alive());
    assert!(serving::at_port(&data_dir, port).is_none());
}

#[test]
fn a_launch_needs_nobody_who_serves_to_begin_with() {
    let home = Home::new();
    let server = home.serve(0, &[]);
    let (mut spec, run_id) = home.tracked(&server, "true");
    server.end();
    // What `cairn run` does when nothing is open.
    spec.sample_s = 0;
    let uri = spec.tracking_uri.clone();
    let id = home.start_for(spec, &run_id);
    assert_eq!(home.cause(&id, 30), Cause::Code { code: 0 }, "{}", home.told(&id));
    let run = Tracking::new(&uri, None).unwrap().get_run(&run_id).unwrap();
    assert_eq!(run.info.status, RunStatus::Finished);
    assert_eq!(run.tags["cairn.launch.cause"], "Finished");
}

#[test]
fn a_token_that_is_wanted_is_wanted_by_the_stand_in_too() {
    let home = Home::new();
    let server = home.serve(0, &["--require-token"]);
    let token_file = home.path().join("config").join("token");
    let token = std::fs::read_to_string(&token_file).unwrap().trim().to_owned();
    let tracking = Tracking::new(&server.uri, Some(token.clone())).unwrap();
    let run = cairn_runtime::tracking::NewRun { experiment_id: "0".into(), ..Default::default() };
    let run_id = tracking.create_run(&run).unwrap();
    let mut spec = home.shell("echo $MLFLOW_TRACKING_TOKEN; until [ -e stop ]; do sleep 0.1; done");
    spec.tracking_uri.clone_from(&server.uri);
    spec.store = Some(home.store());
    spec.token_file = Some(token_file);
    // The stand-in reads the settings of the same home.
    let child = spec.child.as_mut().unwrap();
    child.env.insert("CAIRN_HOME".into(), home.path().display().to_string());
    let id = home.start_for(spec, &run_id);
    eventually("it has the token", 20, || crate::text(&home.log(&id)).trim() == token);
    let folder = home.launches.folder(&id);
    for entry in std::fs::read_dir(&folder).unwrap().flatten() {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        assert!(!crate::text(&bytes).contains(&token), "{:?} holds the token", entry.path());
    }
    let command_lines = crate::processes_with(&format!("--token {token}"));
    assert_eq!(command_lines, Vec::<String>::new());
    std::fs::write(home.path().join("stop"), "").unwrap();
    assert_eq!(home.cause(&id, 20), Cause::Code { code: 0 });
    assert_eq!(tracking.get_run(&run_id).unwrap().info.status, RunStatus::Finished);
}

#[test]
fn another_store_gets_another_port_while_runs_log_to_the_first() {
    let home = Home::new();
    let server = home.serve(0, &["--ui"]);
    let mut line = String::new();
    let mut server = server;
    while !line.contains("/?token=") {
        line.clear();
        std::io::BufRead::read_line(&mut server.lines, &mut line).unwrap();
    }
    let address = line.split_whitespace().find(|word| word.starts_with("http")).unwrap();
    let browser = Browser::enter(address);
    let (spec, run_id) = home.tracked(&server, "until [ -e stop ]; do sleep 0.1; done");
    let id = home.start_for(spec, &run_id);
    eventually("it runs", 20, || home.launches.get(&id).unwrap().started_ms.is_some());

    let other = home.path().join("other");
    let status = browser.call("store.open", &serde_json::json!({ "path": other, "create": true }));
    let status = status["server"].to_string();
    assert!(!status.contains(&format!(":{}\"", server.port())), "{status}");
    assert_eq!(
        status_of(&server, &run_id).info.status,
        RunStatus::Running,
        "the old one is served"
    );
    std::fs::write(home.path().join("stop"), "").unwrap();
    assert_eq!(home.cause(&id, 20), Cause::Code { code: 0 });
    eventually("the old port is given back", 15, || !server.tracking().is_answering());
}

/// The browser host's page.
struct Browser {
    agent: ureq::Agent,
    origin: String,
    cookie: String,
}

impl Browser {
    fn enter(link: &str) -> Self {
        let config = ureq::Agent::config_builder().max_redirects(0).http_status_as_error(false);
        let agent = ureq::Agent::new_with_config(config.build());
        let answer = agent.get(link).call().unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { agent, origin: link.split("/?").next().unwrap().to_owned(), cookie }
    }

    fn call(&self, name: &str, arguments: &serde_json::Value) -> serde_json::Value {
        let mut answer = self
            .agent
            .post(format!("{}/call/{name}", self.origin))
            .header("cookie", &self.cookie)
            .header("origin", &self.origin)
            .header("sec-fetch-site", "same-origin")
            .content_type("application/json")
            .send(arguments.to_string().as_bytes())
            .unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        assert!(answer.status().is_success(), "{name}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

#[test]
fn a_server_of_another_store_is_not_taken_for_this_one() {
    let home = Home::new();
    let server = home.serve(0, &[]);
    let other = Server::start(home.path(), &home.path().join("other"), 0, &[]);
    let data_dir = home.path().join("data");
    assert!(serving::ensure(&data_dir, &home.store(), server.port()).is_ok());
    let error = serving::ensure(&data_dir, &home.store(), other.port()).unwrap_err().to_string();
    assert!(error.contains("serves another store"), "{error}");
}
