//! `Application.xml`: Flash Media Server's settings of an application, as far as they have an
//! effect here.
//!
//! It lies in the application's folder. Elements with an effect have a field of [`ApplicationXml`];
//! [`ApplicationXml::ignored`] lists every other element that holds a value, with its replacement.

use std::{borrow::Cow, fmt, time::Duration};

use tributary_node::config::{self, Size};

use super::xml::{Piece, XmlReader};

/// The settings of an `Application.xml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationXml {
    /// `JSEngine/ApplicationObject/config` (or `ScriptEngine/...`, as for every element of
    /// `JSEngine`): the members of `application.config`.
    pub config: Vec<(String, ConfigValue)>,
    /// `MaxAppIdleTime`: the time for which an instance without clients lives on.
    pub max_app_idle_time: Option<Duration>,
    /// `AutoCloseIdleClients enable="true"`: the time after which clients that send nothing are
    /// closed.
    pub auto_close_idle_clients: Option<Duration>,
    /// `JSEngine/ScriptLibPath`: folders inside the application's, which `load()` searches too.
    pub script_lib_path: Vec<String>,
    /// `SharedObjManager/ResyncDepth`; `None` keeps every deleted slot.
    pub resync_depth: Option<u32>,
    /// `JSEngine/RuntimeSize`: the bound of the script's memory, in bytes.
    pub runtime_size: Option<usize>,
    /// The elements without an effect, in order.
    pub ignored: Vec<Ignored>,
}

/// A value of `application.config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigValue {
    /// An element with text, or an empty one.
    Text(String),
    /// An element with child elements.
    Members(Vec<(String, Self)>),
}

/// An element without an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The path below `Application`, such as `Client/Bandwidth`.
    pub path: String,
    /// The line on which it begins, from 1.
    pub line: u32,
    /// The reason, or the replacement.
    pub instead: &'static str,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            instead,
        } = self;
        write!(f, "Application.xml:{line}: {path} is ignored: {instead}")
    }
}

/// An error that makes an `Application.xml` unreadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationXmlError {
    /// The line, from 1.
    pub line: u32,
    pub message: String,
}

impl fmt::Display for ApplicationXmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Application.xml:{}: {}", self.line, self.message)
    }
}

impl std::error::Error for ApplicationXmlError {}

/// The longest `Application.xml`. Reason: it is read whole, and `application.config` is made from
/// it in every group.
pub(crate) const MAX_APPLICATION_XML: usize = 256 * 1024;

impl ApplicationXml {
    /// The file's name in the application's folder, in letters of either case.
    pub const NAME: &str = "Application.xml";

    /// Reads the text of an `Application.xml`.
    pub fn parse(text: &str) -> Result<Self, ApplicationXmlError> {
        if text.len() > MAX_APPLICATION_XML {
            let message = format!("longer than {MAX_APPLICATION_XML} bytes");
            return Err(ApplicationXmlError { line: 1, message });
        }
        let root = Element::read(text)?;
        if root.name != "Application" {
            let message = format!("the outermost element is {}, not Application", root.name);
            return Err(ApplicationXmlError {
                line: root.line,
                message,
            });
        }
        let mut settings = Self::default();
        for element in &root.children {
            settings.take(&element.name, element)?;
        }
        Ok(settings)
    }

    /// The settings of the application with those of this file: its idle time if the configuration
    /// has none, and its memory bound if it is the lower one.
    pub(crate) fn over(&self, settings: &config::Application) -> config::Application {
        let mut settings = settings.clone();
        settings.idle_time = settings
            .idle_time
            .or_else(|| self.max_app_idle_time.map(config::Duration));
        if let Some(size) = self.runtime_size {
            let size = size.max(LEAST_RUNTIME).min(settings.script_memory.get());
            settings.script_memory = Size(size);
        }
        settings
    }

    /// Reads an element and its children.
    fn take(&mut self, path: &str, element: &Element) -> Result<(), ApplicationXmlError> {
        match &*known_path(path) {
            "MaxAppIdleTime" => self.max_app_idle_time = Some(element.seconds()?),
            "JSEngine/RuntimeSize" => {
                let bytes = element.number::<usize>("a number of kilobytes")?;
                self.runtime_size = Some(bytes.saturating_mul(1024));
            }
            "SharedObjManager/ResyncDepth" => {
                let depth = element.number::<i64>("a whole number")?;
                // -1, Flash Media Server's default, keeps every deleted slot.
                self.resync_depth = u32::try_from(depth).ok();
            }
            "AutoCloseIdleClients" | "Client/AutoCloseIdleClients" => {
                self.idle_clients(path, element)?;
            }
            "JSEngine/ScriptLibPath" => self.script_lib_path(path, element),
            "JSEngine/ApplicationObject" => {
                for child in &element.children {
                    if child.name == "config" {
                        self.config.extend(child.members());
                    } else {
                        let path = format!("{path}/{}", child.name);
                        self.ignore(&path, child, "only config is read");
                    }
                }
            }
            _ if element.children.is_empty() => self.ignore(path, element, instead_of(path)),
            _ => {
                for child in &element.children {
                    self.take(&format!("{path}/{}", child.name), child)?;
                }
            }
        }
        Ok(())
    }

    fn idle_clients(&mut self, path: &str, element: &Element) -> Result<(), ApplicationXmlError> {
        let enabled = element.attribute("enable").is_some_and(is_true);
        for child in &element.children {
            match child.name.as_str() {
                "MaxIdleTime" if enabled => {
                    self.auto_close_idle_clients = Some(child.seconds()?);
                }
                "MaxIdleTime" => {}
                _ => {
                    let path = format!("{path}/{}", child.name);
                    self.ignore(&path, child, "clients are looked at when they are due");
                }
            }
        }
        if enabled && self.auto_close_idle_clients.is_none() {
            self.auto_close_idle_clients = Some(DEFAULT_MAX_IDLE_TIME);
        }
        Ok(())
    }

    fn script_lib_path(&mut self, path: &str, element: &Element) {
        let folders = element.text.split(';').map(str::trim);
        let (inside, outside): (Vec<_>, Vec<_>) = folders
            .filter(|folder| !folder.is_empty())
            .map(|folder| folder.replace('\\', "/"))
            .partition(|folder| {
                !folder.starts_with(['/', '$'])
                    && !folder.contains(':')
                    && folder.split('/').all(|part| part != "..")
            });
        self.script_lib_path.extend(inside);
        if !outside.is_empty() {
            let instead = "only folders inside the application's are searched: put the files \
                           into its scriptlib";
            self.ignore(path, element, instead);
        }
    }

    fn ignore(&mut self, path: &str, element: &Element, instead: &'static str) {
        self.ignored.push(Ignored {
            path: path.to_owned(),
            line: element.line,
            instead,
        });
    }
}

/// The least memory that `RuntimeSize` gives a script. Reason: Flash Media Server's own file has 1
/// MiB, which an engine of today uses up with the first few objects.
const LEAST_RUNTIME: usize = 8 * 1024 * 1024;

/// Flash Media Server's default of `AutoCloseIdleClients/MaxIdleTime`.
const DEFAULT_MAX_IDLE_TIME: Duration = Duration::from_secs(600);

/// The replacements of elements: the first row counts whose path the element's begins or ends with.
const INSTEAD: &[(&str, &str)] = &[
    ("LoadOnStartup", "an instance starts with its first client"),
    (
        "Process",
        "every instance is a group of its own; its failure is its own",
    ),
    (
        "JSEngine/MaxTimeOut",
        "CPU time per turn is limited for every script",
    ),
    ("JSEngine/MaxGCSkipCount", "the engine collects by itself"),
    ("JSEngine", "the script's limits are the server's"),
    (
        "StreamManager",
        "recordings and virtual directories do not exist yet",
    ),
    (
        "SharedObjManager/StorageDir",
        "persistent objects are stored below origin.data",
    ),
    (
        "SharedObjManager/AutoCommit",
        "set autoCommit of the object in the script",
    ),
    (
        "SharedObjManager/LockTimeout",
        "a lock is released after 30 s",
    ),
    (
        "SharedObjManager",
        "the limits of shared objects are the server's",
    ),
    (
        "Client/Bandwidth",
        "call client.setBandwidthLimit in the script",
    ),
    (
        "Client/BandwidthCap",
        "call client.setBandwidthLimit in the script",
    ),
    (
        "Client/MsgQueue",
        "applications.NAME.delivery_cap sets how long media waits for more",
    ),
    (
        "Client/Access",
        "set client.readAccess and client.writeAccess in the script",
    ),
    ("Client", "the limits of clients are the edge's, in [edge]"),
    ("DisallowedProtocols", "edge.rtmp sets where edges listen"),
    ("AllowHTTPTunnel", "edge.rtmp sets where edges listen"),
    ("HTTPTunneling", "edge.rtmp sets where edges listen"),
    ("SWFVerification", "SWF files are not verified"),
    (
        "Application/NetConnection",
        "outgoing connections are limited by the application's setting outgoing",
    ),
    (
        "NetConnection",
        "outgoing connections are limited by the application's setting outgoing",
    ),
    (
        "HTTP",
        "the application's setting outgoing names the permitted servers",
    ),
    ("Password", "the admin server has a token of its own"),
    ("Debug", "logs are read with `tributary apps logs`"),
    (
        "Server",
        "the server's settings are in its configuration file",
    ),
];

/// The path with the oldest name of the element: later versions of the server call `JSEngine`
/// `ScriptEngine`.
fn known_path(path: &str) -> Cow<'_, str> {
    path.strip_prefix("ScriptEngine")
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .map_or(Cow::Borrowed(path), |rest| format!("JSEngine{rest}").into())
}

fn instead_of(path: &str) -> &'static str {
    let path = known_path(path);
    let is_at = |row: &str| {
        path.strip_prefix(row)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    INSTEAD
        .iter()
        .find(|(row, _)| is_at(row))
        .map_or("Tributary has nothing like it", |&(_, instead)| instead)
}

fn is_true(text: &str) -> bool {
    matches!(
        text.trim().to_ascii_lowercase().as_str(),
        "true" | "yes" | "1"
    )
}

/// An element with its attributes and content.
#[derive(Debug, Default)]
struct Element {
    name: String,
    line: u32,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Self>,
}

impl Element {
    /// Reads the outermost element.
    fn read(text: &str) -> Result<Self, ApplicationXmlError> {
        let mut reader = XmlReader::new(text);
        let mut open: Vec<Self> = Vec::new();
        loop {
            let line = reader.line();
            let error = |message: String| ApplicationXmlError { line, message };
            let piece = match reader.next() {
                None => return Err(error("there is no element".to_owned())),
                Some(Err(fault)) => return Err(error(fault.to_string())),
                Some(Ok(piece)) => piece,
            };
            match piece {
                Piece::Start { name, attributes } => open.push(Self {
                    name: name.to_owned(),
                    line,
                    attributes: attributes
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value.into_owned()))
                        .collect(),
                    ..Self::default()
                }),
                Piece::Text(text) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text);
                    }
                }
                Piece::End => {
                    let Some(ended) = open.pop() else { continue };
                    match open.last_mut() {
                        Some(outer) => outer.children.push(ended),
                        None => return Ok(ended),
                    }
                }
                Piece::Declaration(_) | Piece::DocType(_) => {}
            }
        }
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        let mut named = self.attributes.iter().filter(|(key, _)| key == name);
        named.next().map(|(_, value)| value.as_str())
    }

    fn number<T: std::str::FromStr>(&self, what: &str) -> Result<T, ApplicationXmlError> {
        let text = self.text.trim();
        text.parse().map_err(|_| ApplicationXmlError {
            line: self.line,
            message: format!("{} is \"{text}\", not {what}", self.name),
        })
    }

    fn seconds(&self) -> Result<Duration, ApplicationXmlError> {
        self.number("a number of seconds").map(Duration::from_secs)
    }

    /// The child elements, as a script sees them.
    fn members(&self) -> impl Iterator<Item = (String, ConfigValue)> {
        self.children.iter().map(|child| {
            let value = if child.children.is_empty() {
                ConfigValue::Text(child.text.trim().to_owned())
            } else {
                ConfigValue::Members(child.members().collect())
            };
            (child.name.clone(), value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPICAL: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<!-- settings of the chat -->
<Application>
    <LoadOnStartup>false</LoadOnStartup>
    <MaxAppIdleTime>120</MaxAppIdleTime>
    <AutoCloseIdleClients enable="true">
        <CheckInterval>60</CheckInterval>
        <MaxIdleTime>300</MaxIdleTime>
    </AutoCloseIdleClients>
    <JSEngine>
        <RuntimeSize>2048</RuntimeSize>
        <ScriptLibPath>lib;/opt/shared;../other</ScriptLibPath>
        <ApplicationObject>
            <config>
                <gateway>http://localhost/flashservices/gateway</gateway>
                <limits><users> 20 </users><rooms/></limits>
            </config>
        </ApplicationObject>
    </JSEngine>
    <SharedObjManager><ResyncDepth>5</ResyncDepth></SharedObjManager>
    <Client>
        <Bandwidth><ServerToClient>1</ServerToClient></Bandwidth>
        <Whatever>1</Whatever>
    </Client>
    <Unknown/>
</Application>
"#;

    fn text(value: &str) -> ConfigValue {
        ConfigValue::Text(value.to_owned())
    }

    #[test]
    fn the_elements_that_count_are_read() {
        let settings = ApplicationXml::parse(TYPICAL).unwrap();
        let limits = vec![
            ("users".to_owned(), text("20")),
            ("rooms".to_owned(), text("")),
        ];
        let expected = vec![
            (
                "gateway".to_owned(),
                text("http://localhost/flashservices/gateway"),
            ),
            ("limits".to_owned(), ConfigValue::Members(limits)),
        ];
        assert_eq!(settings.config, expected);
        assert_eq!(settings.max_app_idle_time, Some(Duration::from_secs(120)));
        assert_eq!(
            settings.auto_close_idle_clients,
            Some(Duration::from_secs(300))
        );
        assert_eq!(settings.script_lib_path, ["lib"]);
        assert_eq!(settings.resync_depth, Some(5));
        assert_eq!(settings.runtime_size, Some(2048 * 1024));
    }

    #[test]
    fn every_other_element_is_listed_with_what_replaces_it() {
        let settings = ApplicationXml::parse(TYPICAL).unwrap();
        let lines: Vec<_> = settings.ignored.iter().map(Ignored::to_string).collect();
        let expected = [
            "4: LoadOnStartup is ignored: an instance starts with its first client",
            "7: AutoCloseIdleClients/CheckInterval is ignored: clients are looked at when they \
             are due",
            "12: JSEngine/ScriptLibPath is ignored: only folders inside the application's are \
             searched: put the files into its scriptlib",
            "22: Client/Bandwidth/ServerToClient is ignored: call client.setBandwidthLimit in \
             the script",
            "23: Client/Whatever is ignored: the limits of clients are the edge's, in [edge]",
            "25: Unknown is ignored: Tributary has nothing like it",
        ]
        .map(|line| format!("Application.xml:{line}"));
        assert_eq!(lines, expected);
    }

    #[test]
    fn both_names_of_the_script_engine_mean_the_same() {
        let newer = TYPICAL.replace("JSEngine", "ScriptEngine");
        let newer = ApplicationXml::parse(&newer).unwrap();
        let older = ApplicationXml::parse(TYPICAL).unwrap();
        assert_eq!(newer.config, older.config);
        assert_eq!(newer.script_lib_path, older.script_lib_path);
        assert_eq!(newer.runtime_size, older.runtime_size);
        // The note of an element uses the name in the file.
        let named = |settings: &ApplicationXml| settings.ignored[2].path.clone();
        assert_eq!(named(&older), "JSEngine/ScriptLibPath");
        assert_eq!(named(&newer), "ScriptEngine/ScriptLibPath");
        let parse = |engine: &str| {
            let inner = format!("<{engine}><MaxTimeOut>5</MaxTimeOut><Other>1</Other></{engine}>");
            let text = format!("<Application>{inner}</Application>");
            let ignored = ApplicationXml::parse(&text).unwrap().ignored;
            ignored
                .iter()
                .map(|element| element.instead)
                .collect::<Vec<_>>()
        };
        assert_eq!(parse("ScriptEngine"), parse("JSEngine"));
        assert_eq!(parse("ScriptEngines")[0], "Tributary has nothing like it");
    }

    #[test]
    fn disabled_and_default_values() {
        let parse = |inner: &str| {
            ApplicationXml::parse(&format!("<Application>{inner}</Application>")).unwrap()
        };
        let idle = "<AutoCloseIdleClients enable=\"false\"><MaxIdleTime>5</MaxIdleTime>\
                    </AutoCloseIdleClients>";
        assert_eq!(parse(idle).auto_close_idle_clients, None);
        let idle = "<AutoCloseIdleClients enable=\"true\"/>";
        assert_eq!(
            parse(idle).auto_close_idle_clients,
            Some(Duration::from_secs(600))
        );
        let depth = "<SharedObjManager><ResyncDepth>-1</ResyncDepth></SharedObjManager>";
        assert_eq!(parse(depth).resync_depth, None);
        assert_eq!(parse(""), ApplicationXml::default());
    }

    #[test]
    fn mistakes_have_a_line() {
        let table = [
            ("", "1: there is no element"),
            ("<App/>", "1: the outermost element is App, not Application"),
            (
                "<Application>\n<a>\n</Application>",
                "3: a start tag has no end tag",
            ),
            (
                "<Application>\n<MaxAppIdleTime>soon</MaxAppIdleTime></Application>",
                "2: MaxAppIdleTime is \"soon\", not a number of seconds",
            ),
        ];
        for (text, expected) in table {
            let error = ApplicationXml::parse(text).unwrap_err().to_string();
            assert_eq!(error, format!("Application.xml:{expected}"));
        }
        let long = format!(
            "<Application>{}</Application>",
            " ".repeat(MAX_APPLICATION_XML)
        );
        assert_eq!(ApplicationXml::parse(&long).unwrap_err().line, 1);
    }
}
