//! Deploying with a loader of the tests' own: no scripts, real folders.

use std::{
    fs, io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tributary_node::{
    config::{self, Builtin, OnDeploy},
    queue,
};
use tributary_protocol::{
    GroupName, SessionId,
    amf::{Object, Value},
    command::{ObjectEncoding, connect},
    link::{FromSession, OpenSession},
};

use super::{folder::Listing, *};
use crate::{
    app::{AppStartError as AppError, Application, Applications, Context, StopReason},
    group::{GroupHandle, OpenRefused, Settings},
    metrics::Metrics,
    session::{LaneCommand, LaneKey, LaneOut, Mail, Opening, SessionKey},
    store::Store,
};

/// How long a state may take to come on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads `main.txt`: `broken` does not compile, `throws` fails at its start, `notes` makes a note,
/// `wants groups` does not compile with room for one alone.
pub(super) struct TextLoader;

struct Text {
    main: String,
    place: Place,
    group: GroupName,
}

impl Loader for TextLoader {
    fn load(
        &self,
        _: &str,
        folder: &Path,
        settings: &config::Application,
    ) -> Result<Loaded, Vec<Problem>> {
        let problem = |message: String, line| Problem {
            message,
            file: Some("main.txt".to_owned()),
            line,
            source: line.map(|_| "broken".to_owned()),
        };
        let main = fs::read_to_string(folder.join("main.txt"));
        let main = main.map_err(|error| vec![problem(error.to_string(), None)])?;
        if let Some(line) = main.lines().position(|line| line == "broken") {
            return Err(vec![problem("syntax".to_owned(), Some(line as u32 + 1))]);
        }
        if main == "wants groups" && settings.max_groups == 1 {
            return Err(vec![problem("too few groups".to_owned(), None)]);
        }
        let notes = main.contains("notes").then(|| "a note".to_owned());
        Ok(Loaded {
            settings: settings.clone(),
            notes: notes.into_iter().collect(),
            in_cluster: Vec::new(),
            make: Arc::new(move |group, place| {
                Box::new(Text {
                    main: main.clone(),
                    place: place.clone(),
                    group: group.clone(),
                })
            }),
        })
    }
}

impl Application for Text {
    fn start(&mut self, context: &mut Context<'_>) -> Result<(), AppError> {
        context.log(Level::Info, "starts");
        let files = self.place.files.as_ref().unwrap();
        let file = files.join(self.group.instance()).join("files/count.txt");
        let count: u32 = fs::read_to_string(&file).map_or(0, |text| text.parse().unwrap());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, (count + 1).to_string()).unwrap();
        if self.main.contains("visits") {
            let object = context.open_object("visits", true).unwrap();
            let mut object = context.object_mut(object).unwrap();
            let before = object.as_ref().unwrap().get("n");
            let before = before.and_then(|n| n.as_number()).unwrap_or_default();
            object.set("n", &Value::from(before + 1.0)).unwrap();
            context.log(Level::Info, &format!("visit {}", before + 1.0));
        }
        match self.main.as_str() {
            "visits, and throws" => {
                let object = context.find_object("visits").unwrap();
                let n = context.object(object).unwrap().get("n");
                Err(AppError(format!("visits: {n:?}")))
            }
            "throws" => Err(AppError("main.txt:1: it throws".to_owned())),
            "throws if counted" if count > 0 && self.place.is_trial => {
                Err(AppError(format!("counted {count}")))
            }
            "panics" => panic!("at the start"),
            _ => Ok(()),
        }
    }

    fn stop(&mut self, _: &mut Context<'_>, _: StopReason) -> bool {
        true
    }
}

/// An origin's applications and data, and the deployer.
pub(super) struct Bench {
    pub(super) directory: tempfile::TempDir,
    pub(super) deployer: Option<Deployer>,
    pub(super) groups: Groups,
    applications: BTreeMap<String, config::Application>,
    store: Option<Store>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(BTreeMap::new())
    }

    pub(super) fn with(applications: BTreeMap<String, config::Application>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("apps")).unwrap();
        Self {
            directory,
            deployer: None,
            groups: groups(&applications, None),
            applications,
            store: None,
        }
    }

    pub(super) fn start(&mut self) -> &Deployer {
        // The process before it, if there was one, is gone; its watcher ends with its next look.
        self.deployer = None;
        self.groups = groups(&self.applications, None);
        if let Some(store) = self.store.take() {
            store.close();
        }
        let data = self.directory.path().join("data");
        let patience = Instant::now() + PATIENCE;
        let store = loop {
            match Store::open(&data) {
                Err(_) if Instant::now() < patience => thread::sleep(Duration::from_millis(10)),
                opened => break opened.unwrap(),
            }
        };
        self.store = Some(store.clone());
        self.groups = groups(&self.applications, Some(store));
        let settings = DeploySettings {
            apps: Some(self.directory.path().join("apps")),
            data: Some(data),
            applications: self.applications.clone(),
        };
        let deployer = Deployer::start(settings, self.groups.clone(), Arc::new(TextLoader));
        self.deployer.insert(deployer.unwrap())
    }

    pub(super) fn deployer(&self) -> &Deployer {
        self.deployer.as_ref().unwrap()
    }

    /// Copies a folder, in no time: a copy that pauses is taken for a whole one.
    pub(super) fn write(&self, name: &str, text: &str) {
        let (at, draft) = (self.directory.path(), self.directory.path().join("draft"));
        let folder = at.join("apps").join(name);
        fs::create_dir(&draft).unwrap();
        fs::write(draft.join("main.txt"), text).unwrap();
        if folder.exists() {
            fs::rename(draft.join("main.txt"), folder.join("main.txt")).unwrap();
            fs::remove_dir(draft).unwrap();
        } else {
            fs::rename(draft, folder).unwrap();
        }
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.directory.path().join(path)).ok()
    }

    pub(super) fn status(&self, name: &str) -> Status {
        self.deployer().status(name).unwrap()
    }

    fn until(&self, what: &str, reached: impl Fn() -> bool) {
        let patience = Instant::now() + PATIENCE;
        while !reached() {
            assert!(Instant::now() < patience, "not in time: {what}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// A lane with a session, whose group lives.
    pub(super) fn open(&self, group: &str) -> (GroupHandle, queue::Receiver<LaneCommand>) {
        let name: GroupName = group.parse().unwrap();
        let handle = self.groups.open(&name, LaneKey(1)).unwrap();
        let (lane, commands) = LaneOut::new(LaneKey(1), Arc::from("edge"));
        let connect = connect::command(Object::new().with("app", group));
        let open = OpenSession {
            peer: "127.0.0.1:5000".parse().unwrap(),
            protocol: "rtmp".to_owned(),
            connect: connect.encode(ObjectEncoding::Amf0).1,
            claims: None,
        };
        handle.send(Mail::Session {
            session: SessionKey {
                lane: LaneKey(1),
                session: SessionId(1),
            },
            event: FromSession::Open(Opening {
                lane,
                open,
                repeats: false,
            }),
        });
        self.until("it lives", || self.status(name.application()).sessions > 0);
        (handle, commands)
    }

    fn log(&self, name: &str) -> String {
        let lines = self.deployer().log(name).unwrap().after(0, 1000);
        let texts: Vec<_> = lines.into_iter().map(|line| line.text).collect();
        texts.join("\n")
    }
}

fn groups(applications: &BTreeMap<String, config::Application>, store: Option<Store>) -> Groups {
    let known = Applications::new();
    for (name, settings) in applications {
        known.replace_with_builtin(name, settings.clone());
    }
    let settings = Settings {
        workers: 1,
        max_groups: 100,
        fms_version: "FMS/3,5,7,7009".to_owned(),
        store,
        stack: Settings::DEFAULT_STACK,
        restores: false,
    };
    Groups::start(settings, known, Metrics::default()).unwrap()
}

/// An archive with this `main.txt`.
pub(super) fn archive(text: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("main.txt"), text).unwrap();
    archive::pack(folder.path(), &Listing::of(folder.path()).unwrap()).unwrap()
}

fn put(deployer: &Deployer, name: &str, text: &str) -> Result<Deployed, DeployError> {
    deployer.put(name, archive(text).as_slice(), Force::No)
}

#[test]
fn a_copied_folder_is_deployed_and_a_broken_one_is_not() {
    let mut bench = Bench::new();
    bench.start();
    assert!(bench.deployer().list().is_empty());
    bench.write("chat", "one");
    bench.until("it is deployed", || {
        bench
            .deployer()
            .status("chat")
            .is_some_and(|chat| chat.version == Some(1))
    });
    let one = bench.status("chat");
    assert_eq!((one.kind, one.refused), (Kind::Folder, None));

    bench.write("chat", "one\nbroken");
    bench.until("it is refused", || bench.status("chat").refused.is_some());
    let refused = bench.status("chat");
    assert_eq!((refused.version, &refused.digest), (Some(1), &one.digest));
    let said = refused.refused.unwrap().to_string();
    assert_eq!(said, "main.txt:2: syntax\n    broken");
    assert!(bench.log("chat").contains("main.txt:2: syntax"));

    bench.write("chat", "two notes");
    bench.until("it is put right", || {
        bench.status("chat").version == Some(2)
    });
    let two = bench.status("chat");
    assert_eq!((two.refused, two.notes), (None, vec!["a note".to_owned()]));
    assert_ne!(two.digest, one.digest);

    // An application that never had a version is listed all the same.
    bench.write("never", "broken");
    bench.until("it is refused", || {
        let status = bench.deployer().status("never");
        status.is_some_and(|never| never.refused.is_some())
    });
    for (name, refused) in [
        ("never", OpenRefused::NoVersion),
        ("nothing", OpenRefused::InvalidApp),
    ] {
        let opened = bench.groups.open(&name.parse().unwrap(), LaneKey(9));
        assert_eq!(opened.unwrap_err(), refused);
    }

    fs::remove_dir_all(bench.directory.path().join("apps/chat")).unwrap();
    bench.until("it is gone", || bench.deployer().status("chat").is_none());
}

#[test]
fn what_throws_at_its_start_is_refused_unless_forced() {
    let mut bench = Bench::new();
    let deployer = bench.start().clone();
    put(&deployer, "chat", "one").unwrap();
    for (text, said) in [("throws", "it throws"), ("panics", "at the start")] {
        let error = put(&deployer, "chat", text).unwrap_err();
        let DeployError::Refused(refused) = &error else {
            panic!("{error}")
        };
        assert_eq!(refused.stage, status::DeployStage::Trial);
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(bench.read("apps/chat/main.txt").unwrap(), "one");
    }
    let forced = deployer.put("chat", archive("throws").as_slice(), Force::DespiteTrial);
    assert!(forced.unwrap().overlooked[0].message.contains("it throws"));
    assert_eq!(bench.read("apps/chat/main.txt").unwrap(), "throws");
    let broken = deployer.put("chat", archive("broken").as_slice(), Force::DespiteTrial);
    assert!(broken.is_err(), "what does not compile cannot be forced");
}

#[test]
fn a_trial_sees_a_copy_of_what_is_stored_and_writes_to_another() {
    let mut bench = Bench::new();
    let deployer = bench.start().clone();
    let stored = "data/apps/chat/_definst_/files/count.txt";
    put(&deployer, "chat", "one").unwrap();
    assert_eq!(bench.read(stored), None, "the trial has written elsewhere");
    let said = bench.log("chat");
    assert!(
        !said.contains("starts"),
        "one that succeeds says nothing: {said}"
    );
    let file = bench.directory.path().join(stored);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "5").unwrap();
    let error = put(&deployer, "chat", "throws if counted").unwrap_err();
    assert!(error.to_string().contains("counted 5"), "{error}");
    assert_eq!(bench.read(stored).unwrap(), "5");
    let scratch = bench.directory.path().join("data/versions/.scratch");
    let left: Vec<_> = fs::read_dir(scratch).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let said = bench.log("chat");
    let (trial, refusal) = (
        said.find("trial: starts"),
        said.find("a version is refused"),
    );
    assert!(
        trial.is_some() && trial < refusal,
        "what led to it is told: {said}"
    );
}

#[test]
fn a_trial_sees_persistent_objects_and_writes_none_and_a_purge_removes_them() {
    let mut bench = Bench::new();
    let deployer = bench.start().clone();
    put(&deployer, "chat", "visits").unwrap();
    let lane = bench.open("chat");
    bench.until("it is counted", || bench.log("chat").contains("visit 1"));
    for _ in 0..2 {
        let error = put(&deployer, "chat", "visits, and throws").unwrap_err();
        assert!(
            error.to_string().contains("Number(2.0)"),
            "each trial is the second visit: {error}"
        );
    }
    deployer.restart("chat").unwrap();
    drop(lane);
    bench.until("it has ended", || bench.status("chat").groups == 0);
    let lane = bench.open("chat");
    bench.until("it is counted", || bench.log("chat").contains("visit 2"));
    deployer.delete("chat", Purge::Data).unwrap();
    drop(lane);
    put(&deployer, "chat", "visits").unwrap();
    bench.until("its lane is gone", || bench.groups.count() == 0);
    let _lane = bench.open("chat");
    bench.until("it is counted", || bench.log("chat").contains("visit 1"));
    assert!(!bench.log("chat").contains("visit 3"));
}

#[test]
fn the_same_files_make_no_new_version() {
    let mut bench = Bench::new();
    let deployer = bench.start().clone();
    assert!(put(&deployer, "chat", "one").unwrap().is_new);
    assert!(!put(&deployer, "chat", "one").unwrap().is_new);
    assert!(put(&deployer, "chat", "broken").is_err());
    assert!(bench.status("chat").refused.is_some());
    assert!(!put(&deployer, "chat", "one").unwrap().is_new);
    let status = bench.status("chat");
    assert_eq!((status.version, status.refused), (Some(1), None));
    // Touched, and looked at again.
    bench.write("chat", "one");
    thread::sleep(Duration::from_millis(2_500));
    assert_eq!(bench.status("chat").version, Some(1));
}

#[test]
fn groups_keep_their_files_and_restart_by_policy() {
    let restarting = config::Application {
        on_deploy: OnDeploy::Restart,
        ..config::Application::default()
    };
    let mut bench = Bench::with(BTreeMap::from([("game".to_owned(), restarting)]));
    let deployer = bench.start().clone();
    for name in ["chat", "game"] {
        put(&deployer, name, "one").unwrap();
    }
    let (chat, game) = (bench.open("chat/room"), bench.open("game/room"));
    let deployed = put(&deployer, "chat", "two").unwrap();
    assert_eq!(
        (deployed.restarted, bench.status("chat").older_groups),
        (0, 1)
    );
    let deployed = put(&deployer, "game", "two").unwrap();
    assert_eq!(deployed.restarted, 1);
    let files = bench.directory.path().join("data/versions/chat");
    assert!(files.join("1").is_dir(), "a group runs it");
    assert_eq!(deployer.restart("chat").unwrap(), 1);
    drop((chat, game));
    bench.until("nobody needs it any more", || !files.join("1").exists());
    assert!(files.join("2").is_dir());
    assert!(matches!(
        deployer.restart("none"),
        Err(DeployError::Unknown)
    ));
}

#[test]
fn a_folder_goes_before_a_built_in_of_its_name() {
    let nothing = config::Application {
        builtin: Builtin::None,
        ..config::Application::default()
    };
    let mut bench = Bench::with(BTreeMap::from([
        ("live".to_owned(), config::Application::default()),
        ("later".to_owned(), nothing),
    ]));
    bench.write("live", "broken");
    bench.start();
    let deployer = bench.deployer().clone();
    assert_eq!(bench.status("live").kind, Kind::Folder);
    bench.until("the broken one is refused", || {
        bench.status("live").refused.is_some()
    });
    assert_eq!(
        bench.status("live").version,
        None,
        "what is broken does not open a built-in one"
    );
    put(&deployer, "live", "mine").unwrap();
    let mine = bench.status("live");
    assert_eq!((mine.kind, mine.version), (Kind::Folder, Some(1)));
    deployer.delete("live", Purge::No).unwrap();
    assert_eq!(bench.status("live").kind, Kind::BuiltIn);
    let error = deployer.delete("live", Purge::No).unwrap_err();
    assert!(matches!(error, DeployError::BuiltIn), "{error}");
    assert!(deployer.status("later").is_none());
    put(&deployer, "later", "one").unwrap();
    assert_eq!(bench.status("later").version, Some(1));
    deployer.delete("later", Purge::No).unwrap();
    assert!(deployer.status("later").is_none());
}

#[test]
fn a_removal_leaves_what_is_stored_and_a_purge_does_not() {
    let mut bench = Bench::new();
    let deployer = bench.start().clone();
    put(&deployer, "chat", "one").unwrap();
    let stored = bench.directory.path().join("data/apps/chat/room/files/x");
    fs::create_dir_all(stored.parent().unwrap()).unwrap();
    fs::write(&stored, "x").unwrap();
    deployer.delete("chat", Purge::No).unwrap();
    assert!(stored.exists() && !bench.directory.path().join("apps/chat").exists());
    let error = deployer.delete("chat", Purge::No).unwrap_err();
    assert!(matches!(error, DeployError::Unknown), "{error}");
    deployer.delete("chat", Purge::Data).unwrap();
    assert!(!stored.exists(), "afterwards as well");

    put(&deployer, "chat", "one").unwrap();
    fs::create_dir_all(stored.parent().unwrap()).unwrap();
    let _held = bench.open("chat/room");
    deployer.delete("chat", Purge::Data).unwrap();
    assert!(!bench.directory.path().join("data/apps/chat").exists());
    for (name, error) in [("../x", "BadName"), ("", "BadName"), ("none", "Unknown")] {
        let refused = deployer.delete(name, Purge::Data).unwrap_err();
        assert_eq!(format!("{refused:?}"), error);
    }
}

#[test]
fn the_last_good_version_survives_the_process() {
    let mut bench = Bench::new();
    let deployer = bench.start().clone();
    put(&deployer, "chat", "one").unwrap();
    put(&deployer, "chat", "two").unwrap();
    put(&deployer, "gone", "one").unwrap();
    drop(deployer);
    bench.deployer = None;
    bench.write("chat", "broken");
    fs::remove_dir_all(bench.directory.path().join("apps/gone")).unwrap();
    bench.start();
    let chat = bench.status("chat");
    assert_eq!(chat.version, Some(2), "{chat:?}");
    assert!(chat.refused.is_some());
    assert!(bench.deployer().status("gone").is_none());
    assert!(!bench.directory.path().join("data/versions/gone").exists());
    // The same files are the same version.
    bench.write("chat", "two");
    bench.until("it is taken", || bench.status("chat").refused.is_none());
    assert_eq!(bench.status("chat").version, Some(2));
}

#[test]
fn an_upload_that_fails_changes_nothing() {
    let mut bench = Bench::new();
    let deployer = bench.start().clone();
    put(&deployer, "chat", "one").unwrap();
    let endless = io::repeat(0);
    let error = deployer.put("chat", endless, Force::No).unwrap_err();
    assert!(matches!(error, DeployError::Archive(_)), "{error}");
    let error = deployer.put("a/b", archive("x").as_slice(), Force::No);
    assert!(matches!(error, Err(DeployError::BadName)));
    assert_eq!(bench.read("apps/chat/main.txt").unwrap(), "one");
    let staging = bench.directory.path().join("apps/.staging");
    let left: Vec<_> = fs::read_dir(staging).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
