//! Who may log in to a CVM: keys that no hash covers, where the OS image lets anybody.

use crate::cloud::{Cvm, inventory::ssh_keys::SshKey};
use crate::code::Code;
use crate::upgrade::{World, finding::Warning, model::Intent};

/// Says who may log in, where the OS image that runs or that is to run is one for development. Asks for the keys only then, and for
/// the images only where another one is to run.
pub(super) async fn who_may_log_in(world: &World<'_>, intent: &Intent, cvm: &Cvm) -> Option<Warning> {
    let lets = match &intent.patch.image {
        None => cvm.is_dev_image(),
        Some(name) => {
            let images = world.cloud.available_os_images(&intent.cvm).await.ok()?;
            let wanted = images.iter().find(|image| image.name.as_ref() == Some(name));
            wanted.and_then(|image| image.is_dev)
        }
    };
    if lets != Some(true) {
        return None;
    }
    let keys = match world.cloud.ssh_keys(&intent.cvm).await {
        Ok(known) if known.keys.is_empty() => "no key is listed for it now".to_owned(),
        Ok(known) => {
            let keys: Vec<String> = known.keys.iter().map(told).collect();
            format!("now with the keys {}", keys.join(", "))
        }
        Err(_not_told) => "Phala Cloud does not say with which keys".to_owned(),
    };
    Some(Warning {
        code: Code::ImageLetsLogIn,
        text: format!(
            "the OS image is one for development and lets people log in: {keys}; no hash covers who may, and no owner is asked \
             when that changes"
        ),
    })
}

fn told(key: &SshKey) -> String {
    let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "?".to_owned());
    format!("{} of {}", word(&key.fingerprint), word(&key.owner_username))
}
