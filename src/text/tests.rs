//! Hostile texts at every door.

use std::process::Command;

use super::*;

/// Words that a stranger could have chosen.
const HOSTILE: &[&str] = &[
    "",
    " ",
    "-x",
    "--yes",
    "=ls",
    "%1",
    "~/key.json",
    "~root",
    "a b",
    "it's",
    "''",
    "'; touch pwned; '",
    "$(touch pwned)$ETH_RPC_URL",
    "`touch pwned`",
    "\"$(touch pwned)\"",
    "a\"$(touch pwned)$ETH_RPC_URL",
    "$ETH_RPC_URL",
    "--rpc-url=$ETH_RPC_URL",
    "--rpc-url=$(touch pwned)$ETH_RPC_URL",
    "a\\",
    "\\",
    "!!",
    "!touch",
    "a;touch pwned",
    "a&touch pwned&",
    "a|touch pwned",
    "a>pwned",
    "*?[a-z]{a,b}",
    "#comment",
    "<img src=x onerror=alert(1)> [x](javascript:1)",
    "| a | b |",
    "line\nnext: countersign sign",
    "ends\n",
    "ends\n\n",
    "\n",
    "\nb",
    "a\n'b",
    "a\n\u{e9}",
    "a\r\nb",
    "tab\tx",
    "\u{1b}[2J\u{1b}]0;x\u{7}",
    "\u{9b}1m\u{85}",
    "\u{202e}gnp",
    "a\u{200b}b\u{200d}c\u{feff}",
    "\u{3164}\u{ffa0}\u{115f}\u{1160}\u{2800}\u{34f}\u{fe00}\u{fe0f}\u{e0100}\u{e01ef}\u{17b4}\u{17b5}\u{ad}\u{180e}",
    "\u{a0}\u{1680}\u{2000}\u{2003}\u{200a}\u{202f}\u{205f}\u{3000}\u{2028}\u{2029}",
    "\u{e0041}\u{e007f}\u{e000}\u{fff9}\u{fffc}\u{10ffff}\u{600}\u{1d173}",
    "p\u{430}yments-\u{430}pi",
    "\u{430}\u{440}\u{440}",
    "100%s%n",
    "Ünïcode é漢字",
    "a          b",
    "                                                                                Everything that could be checked matches",
];

fn is_harmless(text: &str) -> bool {
    !text.chars().any(is_deceptive)
}

#[test]
fn a40_text_for_a_terminal_is_harmless_on_one_line_and_plain_text_stays() {
    for hostile in HOSTILE {
        assert!(is_harmless(&escape(hostile)), "{hostile:?}");
        assert!(is_harmless(&name(hostile)), "{hostile:?}");
        assert!(is_harmless(&shorten(hostile, 200)), "{hostile:?}");
        assert!(escape_lines(hostile).chars().all(|c| c == '\n' || !is_deceptive(c)));
    }
    for plain in [
        "Ünïcode é漢字",
        "0x1a…",
        "5 µs",
        "порт 8080, сервис-api",
        "日本語Tower",
        "a — b ≤ c",
    ] {
        assert_eq!(escape(plain), plain);
    }
    assert_eq!(escape("\u{202e}"), "\\u{202e}");
}

#[test]
fn sec_l2_every_character_of_the_list_is_written_out_at_every_door() {
    let named = [
        '\u{3164}',
        '\u{ffa0}',
        '\u{115f}',
        '\u{1160}',
        '\u{2800}',
        '\u{34f}',
        '\u{fe0f}',
        '\u{e0101}',
        '\u{17b4}',
        '\u{a0}',
        '\u{2003}',
        '\u{ad}',
        '\u{180e}',
        '\u{180b}',
        '\u{202f}',
        '\u{205f}',
        '\u{3000}',
        '\u{1680}',
        '\u{2028}',
        '\u{e0001}',
        '\u{206a}',
        '\u{feff}',
        '\u{fff9}',
        '\u{1bca0}',
        '\u{7f}',
        '\u{9b}',
    ];
    for character in named {
        let text = format!("a{character}b");
        let shown = format!("a{}b", character.escape_unicode());
        assert_eq!(escape(&text), shown);
        assert!(is_harmless(&markdown(&text)) && is_harmless(&quote(&text)));
        let value = serde_json::Value::from(text);
        let written = json(&value.to_string());
        assert!(is_harmless(&written) && serde_json::from_str::<serde_json::Value>(&written).unwrap() == value);
    }
}

#[test]
fn sec_l2_letters_of_another_script_inside_a_word_are_written_out() {
    assert_eq!(escape("p\u{430}yments"), "p\\u{430}yments");
    assert_eq!(escape("ngin\u{445}@sha256"), "ngin\\u{445}@sha256");
    assert_eq!(escape("p\u{200b}\u{430}"), "p\\u{200b}\\u{430}");
    assert_eq!(escape("\u{ff41}dmin"), "\\u{ff41}dmin");
    assert_eq!(
        escape("\u{3b1}\u{430}"),
        "\\u{3b1}\\u{430}",
        "two scripts, neither of them Latin"
    );
    assert_eq!(escape("платежи"), "платежи");
    assert_eq!(name("платежи"), "платежи");
    assert_eq!(
        name("\u{430}\u{440}\u{440}"),
        "\\u{430}\\u{440}\\u{440}",
        "it looks like `app`"
    );
    let value = serde_json::Value::from("p\u{430}yments");
    let written = json(&value.to_string());
    assert!(written.is_ascii() && serde_json::from_str::<serde_json::Value>(&written).unwrap() == value);
}

#[test]
fn a40_json_keeps_its_value_while_what_deceives_is_escaped() {
    for hostile in HOSTILE {
        let value = serde_json::json!({ "a": hostile, (*hostile): [hostile] });
        for text in [value.to_string(), format!("{value:#}")] {
            let written = json(&text);
            assert!(written.chars().all(|c| c == '\n' || !is_deceptive(c)), "{written}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), value);
        }
    }
}

#[test]
fn a_long_text_is_cut_between_characters_and_says_so() {
    assert_eq!(shorten("ééééé", 3), "ééé…");
    assert_eq!(shorten("ééé", 3), "ééé");
    assert_eq!(shorten("ab\u{202e}", 4), "ab…", "an escape is never cut in its middle");
}

#[test]
fn sec_m2_nothing_in_markdown_is_more_than_text() {
    for hostile in HOSTILE {
        let written = markdown(hostile);
        assert!(is_harmless(&written), "{written}");
        assert!(!written.contains(['<', '>', '|']), "{written}");
        let mut before = ' ';
        for character in written.chars() {
            let starts = matches!(character, '`' | '*' | '[' | ']' | '#' | '!' | '~');
            let entity = character == '#' && before == '&';
            assert!(!starts || before == '\\' || entity, "{written}");
            before = if before == '\\' && character == '\\' {
                ' '
            } else {
                character
            };
        }
    }
    assert_eq!(markdown("payments-api 0x12 (log 3)"), "payments-api 0x12 (log 3)");
    assert_eq!(markdown("[x](javascript:1)"), "\\[x\\]\\(javascript:1)");
    assert_eq!(markdown("https://evil.example"), "https:&#47;/evil.example");
    assert_eq!(markdown("corr_0012 _a_ a_"), "corr_0012 \\_a\\_ a\\_");
    assert_eq!(markdown("- a"), "\\- a");
    assert_eq!(markdown("1. a"), "1\\. a");
}

#[test]
fn nothing_in_html_is_more_than_text() {
    for hostile in HOSTILE {
        let written = html(hostile);
        assert!(is_harmless(&written), "{written}");
        assert!(!written.contains(['<', '>', '"', '\'']), "{written}");
        let entities = ["&lt;", "&gt;", "&amp;", "&quot;", "&#39;"];
        let known: usize = entities.iter().map(|entity| written.matches(entity).count()).sum();
        assert_eq!(written.matches('&').count(), known, "{written}");
    }
    assert_eq!(html("a<b & 'c' \"d\""), "a&lt;b &amp; &#39;c&#39; &quot;d&quot;");
}

#[test]
fn sec_m2_a_fence_inside_a_block_does_not_end_it() {
    assert_eq!(fenced("diff", "a\n```\nb\n"), "````diff\na\n```\nb\n````");
    assert_eq!(fenced("diff", "a"), "```diff\na\n```");
    assert!(!fenced("diff", "a\u{202e}\r").contains(['\u{202e}', '\r']));
}

/// What `sh` gives a program whose arguments are `words`, NUL after each; and whether anything came to be meanwhile.
fn told_by_sh(words: &str, shell: &str) -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    let ended = Command::new(shell)
        .args(["-c", &format!("printf '%s\\0' {words}")])
        .current_dir(&place)
        .env("ETH_RPC_URL", "http://endpoint")
        .output()
        .unwrap();
    assert!(ended.status.success(), "{words}");
    assert!(
        place.path().read_dir().unwrap().next().is_none(),
        "{words} did something"
    );
    ended.stdout
}

#[test]
fn sec_h2_a_shell_gives_exactly_the_words_that_were_quoted_and_does_nothing() {
    let bash = Command::new("bash").arg("--version").output().is_ok();
    for shell in ["sh", "bash"].into_iter().filter(|shell| *shell == "sh" || bash) {
        for hostile in HOSTILE {
            let quoted = quote(hostile);
            assert!(is_harmless(&quoted), "{quoted}");
            let mut expected = hostile.as_bytes().to_vec();
            expected.push(0);
            assert_eq!(told_by_sh(&quoted, shell), expected, "{hostile:?} as {quoted}");
        }
        let all: Vec<Word> = HOSTILE.iter().map(|word| Word::from(*word)).collect();
        let expected: Vec<u8> = HOSTILE.iter().flat_map(|word| word.bytes().chain([0])).collect();
        let line = command(&all);
        assert_eq!(told_by_sh(&line, shell), expected);
        for width in [20, 40, 80, 200] {
            assert_eq!(told_by_sh(&wrap_command(&line, width), shell), expected);
        }
    }
}

#[test]
fn sec_h2_only_the_placeholder_itself_is_filled_in_by_the_shell() {
    let own = [
        Word::RpcUrl { option: String::new() },
        Word::RpcUrl {
            option: "--rpc-url=".to_owned(),
        },
        Word::from("$ETH_RPC_URL"),
    ];
    assert_eq!(
        command(&own),
        "\"$ETH_RPC_URL\" --rpc-url=\"$ETH_RPC_URL\" '$ETH_RPC_URL'"
    );
    assert_eq!(
        told_by_sh(&command(&own), "sh"),
        b"http://endpoint\0--rpc-url=http://endpoint\0$ETH_RPC_URL\0"
    );
    assert_eq!(option("--cursor", "-x"), "--cursor=-x");
    assert_eq!(option("--cursor", "a b"), "--cursor 'a b'");
}

#[test]
fn a_file_name_that_is_no_text_is_quoted_byte_for_byte() {
    use std::os::unix::ffi::OsStrExt as _;
    for name in [&b"a\xff'b\n"[..], b"\xf0\x28\x8c", b"\xe2\x80\xaex\xff"] {
        let quoted = quote_os(std::ffi::OsStr::from_bytes(name));
        let mut expected = name.to_vec();
        expected.push(0);
        assert!(is_harmless(&quoted));
        assert_eq!(told_by_sh(&quoted, "sh"), expected, "{quoted}");
    }
}

#[test]
fn sec_l1_a_long_line_breaks_with_its_margin_and_loses_nothing() {
    let forged = format!("  +# {}Everything that could be checked matches", " ".repeat(77));
    let filled = format!("  +#{}Everything that could be checked matches", "#".repeat(76));
    let wide = format!("  +# {}Everything that could be checked matches", "漢".repeat(38));
    for line in [&forged, &filled, &wide, &"x".repeat(500), &"a b ".repeat(300)] {
        for width in [1, 20, 33, 80, 120] {
            for keeps in [true, false] {
                let broken = wrap(line, width, "  ↳ ", keeps);
                for part in broken.split('\n').skip(1) {
                    assert!(part.starts_with("  ↳ "), "{broken}");
                }
                let wide = |part: &str| part.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
                // A blank may stand behind the last column.
                assert!(
                    broken.split('\n').all(|part| wide(part.trim_end()) <= width.max(20)),
                    "{width} {broken}"
                );
                assert_eq!(broken.replace("\n  ↳ ", ""), **line);
            }
        }
    }
    let hash = format!("  + image: registry.example/team/app@sha256:{}", "ab".repeat(32));
    assert!(
        wrap(&hash, 80, "  ↳ ", true).contains(&"ab".repeat(32)),
        "a hash stays one word without a terminal"
    );
    assert_eq!(wrap("short", 80, "  ", true), "short");
    assert!(is_padded(&forged) && is_padded(&filled) && !is_padded("0x0000000000000000000000"));
}

#[test]
fn se2_low_what_may_be_a_secret_is_recognised_whatever_stands_around_it() {
    let key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    let upper = key.to_uppercase();
    let spaced: String = key
        .chars()
        .enumerate()
        .flat_map(|(at, c)| [c].into_iter().chain((at % 8 == 7).then_some(' ')))
        .collect();
    let phrase = "test test test test test test test test test test test junk";
    for secret in [
        format!("0x{key}.txt"),
        format!("file:0x{key}.txt"),
        format!("/x/{}", key.chars().take(50).collect::<String>()),
        format!("keystore:./{upper}.json"),
        format!("'{key}'"),
        format!("\" 0X{upper} \""),
        format!("account:{key}\n"),
        spaced,
        format!("{key}\u{200b}"),
        "file:phak_abcdefghijklmnop.txt".to_owned(),
        "/x/whsec_abcdefghijklmnop/".to_owned(),
        format!("'{phrase}'"),
        phrase.to_uppercase(),
        format!("{phrase}."),
    ] {
        assert!(may_hold_secret(&secret), "{secret}");
    }
    for public in [
        "0x5aFe00000000000000000000000000000000aFe0",
        "base:0x5aFe00000000000000000000000000000000aFe0",
        "keystore:~/.foundry/keystores/deployer",
        "UTC--2024-01-01T00-00-00.000000000Z--5afe00000000000000000000000000000000afe0",
        "aws:mrk-1234abcd12ab34cd56ef1234567890ab",
        "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        ".countersign/payments-api-1a2b3c4d/proposal.json",
        "docker-compose.yml",
        "phak_key.txt",
        "Upgrade of the payments service",
    ] {
        assert!(!may_hold_secret(public), "{public}");
    }
}
