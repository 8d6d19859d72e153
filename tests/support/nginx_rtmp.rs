//! nginx with its RTMP module: a server of others that streams are pushed to and pulled from.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use super::{program::Program, wait};

/// nginx with its RTMP module, in one process that a signal ends at once.
pub(crate) struct Nginx {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
}

impl Nginx {
    pub(crate) fn start(address: SocketAddr, directory: &Path) -> Self {
        let configuration = format!(
            "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;\n\
             daemon off; master_process off; user root;\n\
             error_log {0}/nginx.log info; pid {0}/nginx.pid;\n\
             events {{ worker_connections 100; }}\n\
             rtmp {{ server {{ listen {address}; chunk_size 4096; \
             application app {{ live on; idle_streams on; }} \
             application closed {{ live on; deny publish all; }} }} }}\n",
            directory.display()
        );
        fs::write(directory.join("nginx.conf"), configuration).expect("a configuration file");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory).args(["-c", "nginx.conf"]);
        let program = Program::spawn("nginx", &mut command, directory);
        wait::until("nginx listens", PATIENCE, || {
            TcpStream::connect(address).is_ok()
        });
        Self { program, address }
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("rtmp://{}/app/{name}", self.address)
    }

    /// Kills it and starts it at its address.
    pub(crate) fn restart(&mut self, directory: &Path) {
        self.program.kill();
        *self = Self::start(self.address, directory);
    }
}

/// Frames of a track at the end of a stream that nginx never sends.
pub(crate) const KEPT_BY_NGINX: usize = 12;

const PATIENCE: Duration = Duration::from_secs(60);
