//! Script applications on a stage, for tests (feature `test`).
//!
//! ```
//! let script = "Client.prototype.add = function(a, b) { return a + b; };";
//! let stage = tributary_script::test::script(script)?;
//! let alice = stage.connect("room1");
//! assert_eq!(alice.call("add", [1.0.into(), 2.0.into()]), Ok(3.0.into()));
//! # Ok::<(), tributary_script::ProgramError>(())
//! ```

use std::{path::Path, sync::Arc};

use tributary_node::config;
use tributary_origin::test::Stage;

use crate::{
    host::Host,
    instance::ScriptApplication,
    program::{Program, ProgramError},
};

/// The name of the application on a stage.
const NAME: &str = "app";

/// Groups of a script application.
pub fn program(program: Arc<Program>, host: Host) -> Stage {
    Stage::new(program.settings().clone(), move |_| {
        Box::new(ScriptApplication::new(Arc::clone(&program), host.clone()))
    })
}

/// Groups of a script of one file.
pub fn script(text: &str) -> Result<Stage, ProgramError> {
    let of_text = Program::of_text(NAME, text, &config::Application::default())?;
    Ok(program(of_text, Host::default()))
}

/// Groups of the script in a folder.
pub fn folder(folder: &Path, settings: &config::Application) -> Result<Stage, ProgramError> {
    let of_folder = Program::load_as(NAME, folder, settings)?;
    Ok(program(of_folder, Host::default()))
}
