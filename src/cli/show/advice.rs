//! What comes next, as reports tell it: the reader's command, and what others do.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cli::show::text::Page;

/// What comes next.
#[derive(Debug, Default)]
pub(in crate::cli) struct Advice {
    /// The reader's command; nothing when there is nothing for them to do.
    pub(in crate::cli) next: Option<String>,
    /// What others do.
    pub(in crate::cli) others: Vec<OtherStep>,
}

/// What somebody else has to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(in crate::cli) struct OtherStep {
    /// Who it is.
    who: String,
    /// File that they need for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    file: Option<String>,
    /// Their commands, in this order, in the folder where they have the file.
    commands: Vec<String>,
}

impl OtherStep {
    /// What `who` runs, with the file that they need for it.
    pub(in crate::cli) fn new(who: &str, file: Option<&Path>, commands: Vec<String>) -> Self {
        Self {
            who: who.to_owned(),
            file: file.map(|file| file.display().to_string()),
            commands,
        }
    }

    /// The lines for people.
    pub(in crate::cli) fn tell(&self, page: &mut Page) {
        let given = self.file.as_ref().map(|file| format!("give {file} to {}", self.who));
        page.line(&format!("{}, who runs", given.as_ref().unwrap_or(&self.who)));
        page.block(&self.commands.join("\n"));
    }
}
