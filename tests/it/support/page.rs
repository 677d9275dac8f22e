//! The page of a command that asks a wallet in a browser: found on its stderr, and played by a plain client, or by a real
//! Chromium where there is one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{PATIENCE, command, until};

/// What stands before the page's address.
const BEFORE: &str = "open in the browser that has your wallet: ";

/// A command that runs and serves a page.
pub struct Serving {
    child: Child,
    /// The page's address, token and all.
    pub url: String,
    said: mpsc::Receiver<String>,
    before: String,
}

/// How a command with a page ended.
pub struct Ended {
    /// Exit code; -1 after a signal.
    pub exit: i32,
    /// The one object on stdout.
    pub json: Value,
    /// Everything on stderr.
    pub said: String,
}

impl Serving {
    /// Starts the command and waits for its page.
    pub fn start(command: &mut Command) -> Self {
        Self::try_start(command).unwrap_or_else(|ended| panic!("no page: {} {}", ended.said, ended.json))
    }

    /// As [`Self::start`], for a command that may end before.
    pub fn try_start(command: &mut Command) -> Result<Self, Ended> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let mut this = Self {
            child,
            url: String::new(),
            said,
            before: String::new(),
        };
        loop {
            let Ok(line) = this.said.recv_timeout(PATIENCE) else {
                return Err(this.ended());
            };
            this.before.push_str(&line);
            this.before.push('\n');
            if let Some(url) = line.strip_prefix(BEFORE) {
                url.clone_into(&mut this.url);
                return Ok(this);
            }
        }
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Ended {
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let status = self.child.wait().unwrap();
        let rest: Vec<String> = self.said.iter().collect();
        Ended {
            exit: status.code().unwrap_or(-1),
            json: serde_json::from_str(&stdout).unwrap_or(Value::Null),
            said: self.before + &rest.join("\n"),
        }
    }

    /// Kills it where it stands.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its process.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// A plain client in the place of a browser.
    pub fn tab(&self) -> Tab {
        let (host, token) = self.url.strip_prefix("http://").unwrap().split_once("/#").unwrap();
        Tab {
            host: host.to_owned(),
            token: token.to_owned(),
        }
    }
}

impl Ended {
    /// Asserts exit code and stable code.
    #[track_caller]
    pub fn exits(self, exit: i32, code: &str) -> Self {
        let told = format!("{}\n{:#}", self.said, self.json);
        assert_eq!(
            (self.exit, self.json["code"].as_str().unwrap_or_default()),
            (exit, code),
            "{told}"
        );
        self
    }
}

/// What the page's script says, without a browser.
pub struct Tab {
    host: String,
    token: String,
}

impl Tab {
    /// Says something to the command; status and answer.
    pub fn say(&self, path: &str, what: &Value) -> (u16, Value) {
        let (host, token, body) = (&self.host, &self.token, what.to_string());
        let Ok(mut stream) = TcpStream::connect(host) else {
            return (0, Value::Null);
        };
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nX-Countersign-Token: {token}\r\n\
             X-Countersign-Tab: it\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut answer = Vec::new();
        let _gone = stream.write_all(request.as_bytes());
        let _gone = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        (
            status.unwrap_or_default(),
            serde_json::from_str(body).unwrap_or_default(),
        )
    }

    /// What is shown, once it is at that stage.
    pub fn at(&self, stage: &str) -> Value {
        until(stage, || {
            let (_, view) = self.say("/view", &json!({}));
            std::thread::sleep(Duration::from_millis(10));
            if view["stage"] == "over" {
                self.say("/ended", &json!({ "turn": view["turn"] }));
            }
            (view["stage"] == stage).then_some(view)
        })
    }

    /// Connects an account.
    pub fn connect(&self, account: impl ToString) {
        let turn = self.at("account")["turn"].clone();
        let account = json!({ "turn": turn, "account": account.to_string() });
        assert_eq!(self.say("/account", &account).0, 200);
    }

    /// Agrees, with these names for decisions; what was shown.
    pub fn agree(&self, named: &[&str]) -> Value {
        let view = self.at("consent");
        let agreed = self.say("/agree", &json!({ "turn": view["turn"], "named": named }));
        assert_eq!(agreed.0, 200, "{view}");
        view
    }

    /// Takes the request, as the wallet would get it, with its turn.
    pub fn request(&self) -> (Value, Value) {
        let turn = self.at("request")["turn"].clone();
        let (status, request) = self.say("/request", &json!({ "turn": turn }));
        assert_eq!(status, 200, "{request}");
        (turn, request)
    }

    /// Has the wallet answer.
    pub fn answer(&self, turn: &Value, mut answer: Value) {
        answer["turn"] = turn.clone();
        assert_eq!(self.say("/answer", &answer).0, 200);
    }
}

/// Chromium, where it is installed.
pub fn chromium() -> Option<PathBuf> {
    let places = ["/usr/lib/chromium/chromium", "/usr/bin/chromium-browser"];
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    named
        .into_iter()
        .chain(places.map(PathBuf::from))
        .find(|path| path.is_file())
}

/// Has a person in a real browser do `wish` on the page; what happened there.
pub fn play(browser: &Path, home: &Path, wish: &Value) -> Value {
    super::packages();
    let mut node = command::node("browser.mjs", home)
        .env("CHROMIUM", browser)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    node.stdin
        .take()
        .unwrap()
        .write_all(wish.to_string().as_bytes())
        .unwrap();
    let output = node.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
}
