//! A manifest that is to be read whole.

use crate::cli::show::text::Page;
use crate::compose::Manifest;
use crate::text;

/// A manifest that is to be read whole, field by field.
pub(in crate::cli) fn whole(page: &mut Page, cvm: Option<&String>, manifest: &Manifest) {
    let of = cvm.map_or_else(String::new, |cvm| format!(" of {}", text::name(cvm)));
    page.heading(&format!(
        "the whole manifest{of} after the change: read all of it, since nobody is known to have approved what stays as it is"
    ));
    for field in manifest.fields() {
        match manifest.get(field) {
            Some(serde_json::Value::String(value)) if value.contains('\n') => {
                page.theirs_below(&text::name(field), value);
            }
            Some(value) => {
                page.theirs(&format!("{field}: {value}"));
            }
            None => {}
        }
    }
}
