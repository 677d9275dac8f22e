//! Who may come in: every head of a request that is not the page's own, and what each path says.

use hyper::Request;
use serde_json::Value;

use super::*;
use crate::signer::browser::session::SIGN_TYPED_DATA;

const PORT: u16 = 4711;

fn door() -> Door {
    Door::new(PORT, Zeroizing::new("0123456789abcdef".to_owned()))
}

/// Status with which a head is refused; nothing where it may come in.
fn refused(method: &str, path: &str, headers: &[(&str, &str)]) -> Option<u16> {
    let request = Request::builder().method(method).uri(path);
    let request = headers
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value));
    let (parts, ()) = request.body(()).unwrap().into_parts();
    door().refuse(&parts).map(|reply| {
        let policy = reply.headers.iter().any(|(name, _)| name == CONTENT_SECURITY_POLICY);
        assert!(policy, "what is refused is dressed as well");
        assert!(
            reply
                .headers
                .iter()
                .all(|(name, _)| !name.as_str().starts_with("access-control"))
        );
        reply.status.as_u16()
    })
}

#[test]
fn nothing_but_the_page_itself_comes_in() {
    let host = ("host", "127.0.0.1:4711");
    let origin = ("origin", "http://127.0.0.1:4711");
    let token = (TOKEN, "0123456789abcdef");
    assert_eq!(refused("GET", "/", &[host]), None);
    assert_eq!(refused("POST", "/view", &[host, origin, token]), None);
    for other in [
        "127.0.0.1",
        "127.0.0.1:4712",
        "localhost:4711",
        "evil.example:4711",
        "[::1]:4711",
        "",
    ] {
        assert_eq!(refused("GET", "/", &[("host", other)]), Some(421), "{other}");
        assert_eq!(refused("POST", "/view", &[("host", other), origin, token]), Some(421));
    }
    assert_eq!(refused("GET", "/", &[]), Some(421), "no host");
    assert_eq!(refused("GET", "/", &[host, host]), Some(421), "two hosts");
    assert_eq!(
        refused("GET", "http://evil.example/", &[host]),
        Some(421),
        "as to a proxy"
    );
    for other in [
        "null",
        "http://127.0.0.1",
        "http://127.0.0.1:4712",
        "https://127.0.0.1:4711",
        "http://evil.example",
    ] {
        assert_eq!(
            refused("POST", "/view", &[host, ("origin", other), token]),
            Some(403),
            "{other}"
        );
    }
    assert_eq!(refused("POST", "/view", &[host, token]), Some(403), "no origin");
    for other in [
        "",
        "0123456789abcdeF",
        "0123456789abcde",
        "0123456789abcdef0",
        "fedcba9876543210",
    ] {
        assert_eq!(
            refused("POST", "/agree", &[host, origin, (TOKEN, other)]),
            Some(403),
            "{other}"
        );
    }
    assert_eq!(refused("POST", "/agree", &[host, origin]), Some(403), "no token");
    assert_eq!(
        refused("POST", "/agree", &[host, origin, token, token]),
        Some(403),
        "two tokens"
    );
}

#[test]
fn every_path_has_one_method() {
    let host = ("host", "127.0.0.1:4711");
    let origin = ("origin", "http://127.0.0.1:4711");
    let token = (TOKEN, "0123456789abcdef");
    for method in ["PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"] {
        assert_eq!(refused(method, "/", &[host]), Some(405), "{method}");
        assert_eq!(
            refused(method, "/answer", &[host, origin, token]),
            Some(405),
            "{method}"
        );
    }
    assert_eq!(refused("GET", "/view", &[host, origin, token]), Some(405));
    assert_eq!(refused("POST", "/", &[host, origin, token]), Some(405));
}

/// What the door answers to a tab, as status and JSON.
fn say(session: &mut Session, path: &str, body: &str) -> (u16, Value) {
    let asked = Asked {
        path: path.to_owned(),
        headers: HeaderMap::from_iter([(HeaderName::from_static(TAB), "a".parse().unwrap())]),
        body: body.as_bytes().to_vec().into(),
    };
    let reply = answer(session, &asked, Instant::now());
    (
        reply.status.as_u16(),
        serde_json::from_slice(&reply.body).unwrap_or_default(),
    )
}

#[test]
fn each_path_says_its_word_and_what_is_malformed_changes_nothing() {
    let mut session = Session::new();
    session.want_account();
    for (path, body) in [
        ("/view", ""),
        ("/view", "[]"),
        ("/view", "{\"edition\":-1}"),
        ("/account", "{\"turn\":1}"),
        ("/account", "{\"turn\":1,\"account\":\"0x12\"}"),
        (
            "/account",
            "{\"turn\":1,\"account\":\"0x1111111111111111111111111111111111111111\",\"more\":1}",
        ),
        ("/nothing", "{}"),
        ("/view?x", "{}"),
    ] {
        assert_eq!(say(&mut session, path, body).0, 400, "{path} {body}");
        assert_eq!(session.account(), None);
    }
    let account = "{\"turn\":1,\"account\":\"0x1111111111111111111111111111111111111111\"}";
    assert_eq!(say(&mut session, "/account", account).0, 200);
    assert_eq!(session.account(), Some(Address::repeat_byte(0x11)));
    assert_eq!(say(&mut session, "/account", account).0, 410, "once");
    session.want_answer(crate::signer::browser::session::Request {
        method: SIGN_TYPED_DATA,
        params: json!(["a"]),
    });
    let handed = say(&mut session, "/request", "{\"turn\":2}");
    assert_eq!(handed, (200, json!({ "method": SIGN_TYPED_DATA, "params": ["a"] })));
    for body in [
        "{\"turn\":2}",
        "{\"turn\":2,\"result\":1}",
        "{\"turn\":2,\"result\":\"0x\",\"error\":{\"message\":\"\"}}",
    ] {
        assert_eq!(say(&mut session, "/answer", body).0, 400, "{body}");
    }
    let long = "x".repeat(5000);
    let error = json!({ "turn": 2, "error": { "code": 4001, "message": long } }).to_string();
    assert_eq!(say(&mut session, "/answer", &error).0, 200);
    let Some(Answer::Refused { code: 4001, message }) = session.answer() else {
        panic!("{:?}", session.answer());
    };
    assert_eq!(message.len(), MAX_SAID);
}

#[test]
fn another_tab_hears_nothing_but_that_it_is_another() {
    let mut session = Session::new();
    session.show("<p>secret</p>".to_owned());
    assert_eq!(say(&mut session, "/view", "{}").0, 200);
    let asked = |tab: &str| Asked {
        path: "/view".to_owned(),
        headers: HeaderMap::from_iter([(HeaderName::from_static(TAB), tab.parse().unwrap())]),
        body: "{}".into(),
    };
    for tab in ["b", "", &"a".repeat(100)] {
        let reply = answer(&mut session, &asked(tab), Instant::now());
        assert_eq!(reply.status.as_u16(), 409);
        assert_eq!(reply.body, "{\"refused\":\"elsewhere\"}".as_bytes());
    }
}

#[test]
fn the_page_is_small_and_has_nothing_inline_and_nothing_from_elsewhere() {
    assert!(PAGE.len() + SCRIPT.len() + STYLE.len() <= 60 * 1024);
    for inline in [
        "<script>",
        "<style",
        " style=",
        " onclick",
        "javascript:",
        "http://",
        "https://",
    ] {
        assert!(!PAGE.contains(inline), "{inline}");
    }
    for unsafe_way in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "http://",
        "https://",
    ] {
        assert!(!SCRIPT.contains(unsafe_way), "{unsafe_way}");
    }
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
}
