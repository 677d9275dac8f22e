//! The state machine of page and run, without sockets: every word at every stage.

use serde_json::json;

use super::*;

const ME: Address = Address::repeat_byte(0x11);

fn asking(decisions: &[&str]) -> Asking {
    let decisions: Vec<Decision> = decisions
        .iter()
        .map(|value| Decision {
            code: Code::AppGivenAway,
            value: (*value).to_owned(),
            what: "hands over\u{202e} control".to_owned(),
        })
        .collect();
    Asking::new(Acting::signs(ME, 8453), "Sign this?\u{200b}", &decisions)
}

fn request(method: &'static str) -> Request {
    Request {
        method,
        params: json!([]),
    }
}

fn given() -> Answer {
    Answer::Given("0x00".to_owned())
}

/// A session at each stage, by name, with the number of its turn.
fn stages() -> Vec<(&'static str, Session)> {
    let with = |act: &dyn Fn(&mut Session)| {
        let mut session = Session::new();
        act(&mut session);
        session
    };
    vec![
        ("idle", Session::new()),
        ("account", with(&Session::want_account)),
        ("consent", with(&|one| one.want_consent(asking(&[])))),
        ("request", with(&|one| one.want_answer(request(SIGN_TYPED_DATA)))),
        (
            "handed",
            with(&|one| {
                one.want_answer(request(SIGN_TYPED_DATA));
                one.hand_out(1).unwrap();
            }),
        ),
        (
            "working",
            with(&|one| {
                one.want_answer(request(SIGN_TYPED_DATA));
                one.hand_out(1).unwrap();
                one.take_answer(1, given()).unwrap();
            }),
        ),
        ("over", with(&|one| one.end("done", true))),
    ]
}

#[test]
fn a_page_can_say_nothing_but_what_is_asked_of_it_now() {
    for (name, _) in stages() {
        let at = || {
            let mut all = stages().into_iter();
            all.find(|(one, _)| *one == name).unwrap().1
        };
        assert_eq!(at().view(0).stage, name);
        let said = [
            ("account", at().give_account(1, ME)),
            ("consent", at().agree(1, &[])),
            ("consent", at().decline(1)),
            ("handed", at().take_answer(1, given())),
            ("over", at().confirm_end(1)),
        ];
        for (when, outcome) in said {
            assert_eq!(outcome.is_ok(), when == name, "{when} at {name}");
        }
        assert_eq!(at().hand_out(1).is_ok(), matches!(name, "request" | "handed"), "{name}");
        for turn in [0, 2] {
            let stale = [
                at().give_account(turn, ME),
                at().agree(turn, &[]),
                at().decline(turn),
                at().take_answer(turn, given()),
                at().hand_out(turn).map(|_| ()),
            ];
            assert!(
                stale.iter().all(Result::is_err),
                "an answer to another question at {name}"
            );
        }
    }
}

#[test]
fn a_transaction_is_handed_out_once_and_a_document_again_to_a_page_that_was_loaded_again() {
    let mut session = Session::new();
    session.want_answer(request("eth_sendTransaction"));
    assert!(!session.is_handed_out());
    session.hand_out(1).unwrap();
    assert!(session.is_handed_out());
    assert_eq!(session.hand_out(1).unwrap_err(), Refusal::NotAsked);
    session.want_answer(request(SIGN_TYPED_DATA));
    session.hand_out(2).unwrap();
    session.hand_out(2).unwrap();
    session.take_answer(2, given()).unwrap();
    assert_eq!(session.hand_out(2).unwrap_err(), Refusal::NotAsked, "it was answered");
    assert_eq!(session.take_answer(2, given()), Err(Refusal::NotAsked), "one answer");
}

#[test]
fn consent_names_every_decision_and_no_other_word_stands_for_it() {
    let value = "0xAbC0000000000000000000000000000000000001";
    for (named, agrees) in [
        (vec![value.to_owned(), "app-1".to_owned()], true),
        (vec![value.to_lowercase(), "app-1".to_owned()], true),
        (vec![value.to_owned(), "App-1".to_owned()], false),
        (vec![value.to_owned()], false),
        (vec!["app-1".to_owned(), value.to_owned()], false),
        (vec!["yes".to_owned(), "yes".to_owned()], false),
        (vec![value.to_owned(), "app-1".to_owned(), String::new()], false),
        (Vec::new(), false),
    ] {
        let mut session = Session::new();
        session.want_consent(asking(&[value, "app-1"]));
        let outcome = session.agree(1, &named);
        assert_eq!(outcome.is_ok(), agrees, "{named:?}");
        assert_eq!(session.agreed(), agrees.then_some(true));
    }
}

#[test]
fn what_is_shown_beside_the_content_is_harmless_too() {
    let mut session = Session::new();
    session.want_consent(asking(&["p\u{430}y\u{202e}"]));
    let shown = json!(session.view(0)).to_string();
    assert!(shown.is_ascii(), "{shown}");
    session.end("\u{202e}STOP", false);
    assert!(json!(session.view(0)).to_string().is_ascii());
}

#[test]
fn the_first_tab_is_the_only_one() {
    let (mut session, now) = (Session::new(), Instant::now());
    assert_eq!(session.hear("", now), Err(Refusal::OtherTab));
    assert!(!session.is_open());
    session.hear("a", now).unwrap();
    assert_eq!(session.hear("b", now), Err(Refusal::OtherTab));
    session.hear("a", now).unwrap();
}

#[test]
fn a_page_that_leaves_has_a_moment_to_come_back_and_one_that_falls_silent_is_gone() {
    let (mut session, start) = (Session::new(), Instant::now());
    let second = Duration::from_secs(1);
    assert!(session.check_open(start + SILENCE * 9).is_ok(), "nobody was there yet");
    session.hear("a", start).unwrap();
    session.leave(start);
    assert!(session.check_open(start + RELOAD).is_ok());
    assert!(matches!(
        session.check_open(start + RELOAD + second),
        Err(WalletError::Closed)
    ));
    session.hear("a", start + second).unwrap();
    assert!(session.check_open(start + RELOAD + second * 2).is_ok(), "it came back");
    assert!(session.check_open(start + SILENCE).is_ok());
    assert!(matches!(
        session.check_open(start + SILENCE + second * 2),
        Err(WalletError::Closed)
    ));
}

#[test]
fn content_goes_out_where_the_page_has_another_edition() {
    let mut session = Session::new();
    session.show("<p>a</p>".to_owned());
    assert_eq!(session.view(0).html, Some("<p>a</p>"));
    assert_eq!(session.view(1).html, None);
    session.show("<p>b</p>".to_owned());
    assert_eq!(session.view(1).html, Some("<p>b</p>"));
    assert_eq!(session.view(1).edition, 2);
    assert!(!session.is_told());
    session.end("done", true);
    assert!(!session.is_told());
    assert_eq!(session.view(2).said, Some("done"));
    assert!(!session.is_told(), "an answer on its way may be lost");
    session.confirm_end(1).unwrap();
    assert!(session.is_told());
}

#[test]
fn what_is_taken_back_is_handed_out_to_nobody_and_what_was_handed_out_stays_so() {
    for (name, mut session) in stages() {
        session.withdraw();
        let expected = if name == "request" { "idle" } else { name };
        assert_eq!(session.view(0).stage, expected);
        if name == "request" {
            assert_eq!(session.hand_out(1).err(), Some(Refusal::NotAsked));
            assert!(!session.is_handed_out());
        }
    }
}
