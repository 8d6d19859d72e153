//! Folders of script applications.

use std::{path::Path, sync::Arc};

use tributary_node::config;

use tributary_origin::deploy::{Loaded, Loader, Problem};

use crate::{
    host::{Host, THREAD_STACK},
    instance::ScriptApplication,
    library::outbound::Outbound,
    program::{Program, ProgramError},
};

/// Loads all script applications, which share one thread for their connections.
struct Scripts {
    outbound: Outbound,
}

/// Reads script applications: `main.asc` or `main.js`, and every file that it reaches.
pub fn loader() -> Arc<dyn Loader> {
    Arc::new(Scripts {
        outbound: Outbound::default(),
    })
}

impl Loader for Scripts {
    fn load(
        &self,
        name: &str,
        folder: &Path,
        settings: &config::Application,
    ) -> Result<Loaded, Vec<Problem>> {
        let program = Program::load_as(name, folder, settings);
        let program = program.map_err(|error| problems(error, folder))?;
        let outbound = self.outbound.clone();
        Ok(Loaded {
            settings: program.settings().clone(),
            notes: program.notes().to_vec(),
            in_cluster: program.in_cluster(),
            make: Arc::new(move |_, place| {
                let host = Host {
                    data: place.files.clone(),
                    outbound: outbound.clone(),
                    is_trial: place.is_trial,
                };
                Box::new(ScriptApplication::new(Arc::clone(&program), host))
            }),
        })
    }

    fn stack(&self) -> usize {
        THREAD_STACK
    }
}

fn problems(error: ProgramError, folder: &Path) -> Vec<Problem> {
    // `folder` is a copy of the application's folder: its path would mislead.
    let within = |path: &Path| {
        let path = path.strip_prefix(folder).unwrap_or(path);
        Some(path.display().to_string())
    };
    match error {
        ProgramError::Wrong(errors) => errors.into_iter().map(Problem::from).collect(),
        ProgramError::Unreadable(path, error) => vec![Problem {
            message: error.to_string(),
            file: within(&path),
            ..Problem::default()
        }],
        other => vec![Problem {
            message: other.to_string(),
            ..Problem::default()
        }],
    }
}
