//! The text of `phala.toml` with what it does not say yet. Pure: what stands there stays, comments and order too.

use std::path::PathBuf;

use alloy::primitives::Address;
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, value};
use url::Url;

use crate::chain::Finality;

/// Name of the table that is ours alone.
const OWN: &str = "countersign";
/// Of it, the one with names.
const OWNERS: &str = "owners";

/// What the file should say; what is empty is not written.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Wanted {
    pub(in crate::cli) cvm: Option<String>,
    pub(in crate::cli) compose: Option<PathBuf>,
    pub(in crate::cli) app: Option<Address>,
    pub(in crate::cli) rpc_url: Vec<Url>,
    pub(in crate::cli) quorum: Option<usize>,
    pub(in crate::cli) logs_rpc_url: Option<Url>,
    pub(in crate::cli) service_url: Option<Url>,
    pub(in crate::cli) signer: Option<String>,
    pub(in crate::cli) finality: Option<Finality>,
    pub(in crate::cli) owners: Vec<(String, Address)>,
}

/// The text with it. What was typed replaces what the table of ours said; what is known besides only fills gaps.
///
/// # Errors
/// The text is no TOML, or names something else with these names.
pub(in crate::cli) fn written(text: &str, wanted: &Wanted) -> Result<String, String> {
    let mut file: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| error.message().to_owned())?;
    let named = ["id", "uuid", "app_id", "instance_id", "name", "cvm_id"];
    if !named.iter().any(|name| file.contains_key(name)) {
        set(file.as_table_mut(), "name", wanted.cvm.clone());
    }
    let gap = |file: &mut DocumentMut, name: &str, text: Option<String>| {
        if !file.contains_key(name) {
            set(file.as_table_mut(), name, text);
        }
    };
    gap(
        &mut file,
        "compose_file",
        wanted.compose.as_ref().map(|path| path.display().to_string()),
    );
    gap(&mut file, "app", wanted.app.map(|address| address.to_string()));
    if wanted.says_nothing_of_ours() {
        return Ok(file.to_string());
    }
    let own = table(file.as_table_mut(), OWN)?;
    let list: Array = wanted.rpc_url.iter().map(Url::to_string).collect();
    if !list.is_empty() {
        own.insert("rpc_url", value(list));
    }
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    if let Some(quorum) = wanted.quorum.and_then(|quorum| u64::try_from(quorum).ok()) {
        own.insert("quorum", value(number(quorum)));
    }
    set(own, "logs_rpc_url", wanted.logs_rpc_url.as_ref().map(Url::to_string));
    set(own, "service_url", wanted.service_url.as_ref().map(Url::to_string));
    set(own, "signer", wanted.signer.clone());
    if let Some(finality) = wanted.finality {
        own.remove("confirmations");
        own.remove("finality");
        match finality {
            Finality::Confirmations(blocks) => own.insert("confirmations", value(number(blocks))),
            Finality::Safe => own.insert("finality", value("safe")),
            Finality::Finalized => own.insert("finality", value("finalized")),
        };
    }
    if !wanted.owners.is_empty() {
        let owners = table(own, OWNERS)?;
        for (name, address) in &wanted.owners {
            owners.insert(name, value(address.to_string()));
        }
    }
    Ok(file.to_string())
}

impl Wanted {
    fn says_nothing_of_ours(&self) -> bool {
        self.rpc_url.is_empty()
            && self.quorum.is_none()
            && self.logs_rpc_url.is_none()
            && self.service_url.is_none()
            && self.signer.is_none()
            && self.finality.is_none()
            && self.owners.is_empty()
    }
}

fn set(table: &mut dyn TableLike, name: &str, text: Option<String>) {
    if let Some(text) = text {
        table.insert(name, value(text));
    }
}

/// The table of this name, made where there is none.
fn table<'t>(above: &'t mut dyn TableLike, name: &str) -> Result<&'t mut dyn TableLike, String> {
    let found = above.entry(name).or_insert_with(|| Item::Table(Table::new()));
    found.as_table_like_mut().ok_or_else(|| format!("`{name}` is no table"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            cvm: Some("my-app".to_owned()),
            compose: Some(PathBuf::from("docker-compose.yml")),
            app: Some(Address::repeat_byte(1)),
            rpc_url: vec![
                "https://a.example".parse().unwrap(),
                "https://b.example".parse().unwrap(),
            ],
            quorum: Some(2),
            signer: Some("browser".to_owned()),
            finality: Some(Finality::Safe),
            owners: vec![("alice".to_owned(), Address::repeat_byte(3))],
            ..Wanted::default()
        }
    }

    #[test]
    fn an_empty_file_gets_all_of_it_and_the_second_time_nothing() {
        let text = written("", &wanted()).unwrap();
        let address = |byte| Address::repeat_byte(byte).to_string();
        let expected = format!(
            "name = \"my-app\"\ncompose_file = \"docker-compose.yml\"\napp = \"{}\"\n\n[countersign]\n\
             rpc_url = [\"https://a.example/\", \"https://b.example/\"]\nquorum = 2\nsigner = \"browser\"\n\
             finality = \"safe\"\n\n[countersign.owners]\nalice = \"{}\"\n",
            address(1),
            address(3)
        );
        assert_eq!(text, expected);
        assert_eq!(written(&text, &wanted()).unwrap(), text);
    }

    #[test]
    fn what_stands_there_stays_and_what_was_typed_replaces_what_is_ours() {
        let before = "# ours\nuuid = \"1\"   # the CVM\ncompose_file = \"own.yml\"\nprofile = \"x\"\n\n[countersign]\n\
                      confirmations = 3 # deep\nsigner = \"ledger\"\nowners = { bob = \"0x0404040404040404040404040404040404040404\" }\n\
                      [elsewhere]\na = 1\n";
        let text = written(before, &wanted()).unwrap();
        for kept in [
            "# ours\nuuid = \"1\"   # the CVM\ncompose_file = \"own.yml\"\nprofile = \"x\"\n",
            "[elsewhere]\na = 1\n",
            "bob = ",
        ] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
        assert!(
            !text.contains("name = ") && !text.contains("ledger") && !text.contains("confirmations"),
            "{text}"
        );
        assert!(
            text.contains("alice = ") && text.contains("signer = \"browser\""),
            "{text}"
        );
        assert_eq!(written(before, &Wanted::default()).unwrap(), before);
        for bad in ["countersign = 1", "[countersign]\nowners = 2", "name = "] {
            assert!(written(bad, &wanted()).is_err(), "{bad}");
        }
    }
}
