//! A real pseudo-terminal for a program's questions and news, while its stdout goes elsewhere.

use std::fs::File;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A program at a terminal.
pub struct AtTerminal {
    child: Child,
    reader: std::thread::JoinHandle<Vec<u8>>,
}

/// What became of it.
pub struct Left {
    /// Exit code; -1 after a signal.
    pub exit: i32,
    /// What it printed as its result.
    pub stdout: String,
    /// Everything that the terminal was sent, control sequences and all.
    pub terminal: String,
}

impl AtTerminal {
    /// Starts `command` with a terminal of 160 columns as stdin and stderr, and a pipe as stdout.
    pub fn start(command: &mut Command) -> Self {
        Self::at(command, 160, false)
    }

    /// Starts `command` with a terminal of so many columns as stdin, stdout and stderr.
    pub fn whole(command: &mut Command, columns: u16) -> Self {
        Self::at(command, columns, true)
    }

    fn at(command: &mut Command, columns: u16, whole: bool) -> Self {
        let keeper = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keeper).unwrap();
        unlockpt(&keeper).unwrap();
        let size = Winsize {
            ws_row: 40,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&keeper, size).unwrap();
        let name = ptsname(&keeper, Vec::new()).unwrap().into_string().unwrap();
        let open = || File::options().read(true).write(true).open(&name).unwrap();
        let child = command
            .env("TERM", "xterm-256color")
            .stdin(open())
            .stderr(open())
            .stdout(if whole { Stdio::from(open()) } else { Stdio::piped() })
            .spawn()
            .expect("the program starts");
        // `command` holds the terminal's other end open: without it reading ends when the program does.
        command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null());
        let reader = std::thread::spawn(move || {
            let (mut keeper, mut all, mut part) = (File::from(keeper), Vec::new(), [0; 4096]);
            // The end of a terminal is an error and not an end of file.
            while let Ok(read @ 1..) = keeper.read(&mut part) {
                all.extend_from_slice(&part[..read]);
            }
            all
        });
        Self { child, reader }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub fn end(self) -> Left {
        let output = self.child.wait_with_output().unwrap();
        Left {
            exit: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            terminal: String::from_utf8_lossy(&self.reader.join().unwrap()).into_owned(),
        }
    }
}
