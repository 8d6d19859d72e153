//! Application.xml, and the old language.

use tributary_origin::test::ConnectAs;

use super::*;

const XML: &str = "<Application>
    <MaxAppIdleTime>30</MaxAppIdleTime>
    <JSEngine><RuntimeSize>1024</RuntimeSize><ScriptLibPath>lib</ScriptLibPath><MaxTimeOut>5</MaxTimeOut>
    <ApplicationObject><config><name>chat</name><limits><users>20</users></limits></config>
    </ApplicationObject></JSEngine></Application>";

#[test]
fn application_xml_gives_the_config_and_settings() {
    let main = starting(
        "var names = []; for (var n in application.config) names.push(n);
         trace(names.join() + ' ' + application.config.name + ' ' + application.config.limits.users);
         load('helper.asc');",
    );
    let program = program(&[
        ("application.xml", XML),
        ("main.asc", &main),
        ("lib/helper.asc", "trace('helped');"),
    ]);
    assert_eq!(
        program.settings().idle_time,
        Some(config::Duration::from_secs(30))
    );
    assert_eq!(program.settings().script_memory, config::Size::from_mib(8));
    let note = "Application.xml:3: JSEngine/MaxTimeOut is ignored: CPU time per turn is limited \
                for every script";
    assert_eq!(program.notes(), [note]);
    let stage = test::program(program, Host::default());
    stage.connect("x");
    assert_eq!(stage.said(), ["name,limits chat 20", "helped"]);
}

#[test]
fn application_xml_gives_the_resync_depth() {
    let xml = "<Application><SharedObjManager><ResyncDepth>3</ResyncDepth></SharedObjManager>
        </Application>";
    let main = starting(
        "var so = SharedObject.get('a'); trace(so.resyncDepth); so.resyncDepth = 5;
         trace(SharedObject.get('a').resyncDepth);",
    );
    let stage = files(&[("Application.xml", xml), ("main.asc", &main)]);
    stage.connect("x");
    assert_eq!(stage.said(), ["3", "5"]);
}

#[test]
fn idle_clients_are_closed() {
    let xml = "<Application><AutoCloseIdleClients enable=\"true\"><MaxIdleTime>60</MaxIdleTime>
        </AutoCloseIdleClients></Application>";
    let main = "application.onDisconnect = function(client) { trace(client.id + ' left'); };
        application.onConnect = function(client, id) { client.id = id; return true; };
        Client.prototype.ping = function() {};";
    let program = program(&[("Application.xml", xml), ("main.asc", main)]);
    let stage = test::program(program, Host::default());
    let connect = |id: &str| stage.connect_as("x", ConnectAs::with([text(id)]));
    let (idle, busy, publisher) = (connect("idle"), connect("busy"), connect("publisher"));
    publisher.call("createStream", []).unwrap();
    publisher.send_on(1, "publish", [text("cam"), text("live")]);
    for _ in 0..3 {
        stage.pass(Duration::from_secs(30));
        assert!(busy.call("ping", []).is_ok());
    }
    assert_eq!(stage.said(), ["idle left"]);
    assert!(idle.is_closed() && !busy.is_closed() && !publisher.is_closed());
    assert!(
        idle.statuses()
            .contains(&"NetConnection.Connect.IdleTimeout".to_owned())
    );
}

#[test]
fn a_wrong_application_xml_is_an_error_with_its_place() {
    let files = [("Application.xml", "<Application>\n<a>"), ("main.asc", "")];
    let files = files.map(|(name, text)| (name.to_owned(), Arc::from(text)));
    let settings = config::Application::default();
    let error = Program::of_files("app", Path::new(""), files.into(), &settings).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Application.xml:2: a start tag has no end tag\n    <a>"
    );
}

#[test]
fn the_old_language_works_or_is_listed() {
    let main = "function get(x) {\r\
            try { throw x } catch (e if e == 1) { return 'one' } catch (e) { return 'other' }\r\
        }\r\
        application.onAppStart = function() {\r\
            /(\\d+)/.exec('a12'); trace(get(1) + get(2) + RegExp.$1 + ({ a: 1 }).toSource());\r\
            load('more.asc');\r\
            missing();\r\
        };\r";
    let more = "trace(Array.join([1, 2], '-'));\ntrace(typeof x.toLocaleFormat, x = 1);";
    let program = program(&[("main.asc", main), ("more.asc", more)]);
    let note = "more.asc:2: toLocaleFormat does not exist: use toLocaleString";
    assert_eq!(program.notes(), [note]);
    let stage = test::program(program, Host::default());
    stage.connect("x");
    let said = stage.said();
    assert_eq!(said[..2], ["oneother12({a:1})", "1-2"]);
    assert!(
        said[2].starts_with("more.asc:2: ReferenceError"),
        "{said:?}"
    );
}

#[test]
fn a_file_that_is_loaded_and_missing_is_a_note() {
    let text = "load(\"netservices.asc\");\r// load(\"old.asc\")\rx = 'load(\"no.asc\")';\r\
                load( 'gone.asc' );\rimage.load(\"a.jpg\"); load(name); function load(a) {}\r";
    let program = Program::of_text("app", text, &config::Application::default()).unwrap();
    let why = "there is no such file in the application or the framework";
    assert_eq!(
        program.notes(),
        [format!("main.asc:4: load(\"gone.asc\"): {why}")]
    );
}
