//! Whether a path of the guest leads to the socket of its container engine, by which a container starts others. Pure.

use super::variables;

/// Sockets of container engines, as Linux distributions place them.
const SOCKETS: [&str; 4] = [
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
];
/// Longest text that is taken for a path with its target.
const LONGEST: usize = 4096;
/// How often defaults are filled in that hold defaults themselves.
const DEPTH: usize = 4;

/// Whether what is mounted by `text` (`SOURCE:TARGET:MODE`, or a source alone) is such a socket, a folder above one, or may
/// be by the defaults of its variables.
pub(super) fn reaches_engine(text: &str) -> bool {
    if text.len() > LONGEST {
        return SOCKETS.iter().any(|socket| text.contains(socket));
    }
    let mut filled = text.to_owned();
    for _ in 0..DEPTH {
        if !variables::has_any(&filled) {
            break;
        }
        filled = variables::by_default(&filled);
    }
    let named = |part: &str| {
        let last = part.rsplit('/').next().unwrap_or_default();
        SOCKETS.iter().any(|socket| socket.rsplit('/').next() == Some(last))
    };
    let mut parts = filled.split(':');
    let source = parts.next().unwrap_or_default();
    let is_path = source.starts_with(['/', '.', '~']);
    (is_path && leads_to_one(source))
        || named(source)
        || parts.any(named)
        || variables::references(text).iter().any(inner)
}

/// A default that names a socket, wherever it stands.
fn inner(reference: &variables::Reference<'_>) -> bool {
    match reference.otherwise {
        variables::Otherwise::Default(value) => value.starts_with('/') && value != "/" && leads_to_one(value),
        _ => false,
    }
}

/// Whether a path is a socket or a folder above one. A path that starts at the folder of the text, or at somebody's home, may
/// climb to the root.
fn leads_to_one(path: &str) -> bool {
    let is_relative = !path.starts_with('/');
    let mut steps: Vec<&str> = Vec::new();
    let mut has_climbed = false;
    let is_home = path.starts_with('~');
    for step in path
        .split('/')
        .skip(usize::from(is_home))
        .filter(|step| !step.is_empty() && *step != ".")
    {
        if step == ".." {
            has_climbed |= steps.pop().is_none();
        } else {
            steps.push(step);
        }
    }
    if is_relative && !has_climbed {
        return false;
    }
    if steps.first() == Some(&"var") && steps.get(1).is_none_or(|step| *step == "run") {
        steps.remove(0);
    }
    let clean = format!("/{}", steps.join("/"));
    let below = |socket: &str| clean == "/" || socket == clean || socket.starts_with(&format!("{clean}/"));
    SOCKETS.iter().any(|socket| below(socket))
}

#[cfg(test)]
mod tests {
    use super::reaches_engine;

    #[test]
    fn every_form_of_the_socket_is_found() {
        for text in [
            "/var/run/docker.sock:/var/run/docker.sock",
            "/var/run/docker.sock",
            "/run/docker.sock:/x:ro",
            "//var/./run//docker.sock:/x",
            "/etc/../var/run/docker.sock:/x",
            "/var/run:/host",
            "/run/:/host",
            "/var:/host",
            "/:/host:ro",
            "../var/run/docker.sock:/x",
            "..:/host",
            "~/../var/run/docker.sock:/x",
            "~root/..:/host",
            "${DOCKER_SOCK:-/var/run/docker.sock}:/var/run/docker.sock",
            "${SOCK-/run/docker.sock}:/s",
            "${A:-${B:-/var/run/docker.sock}}:/s",
            "/var/${DIR:-run}:/s",
            "${SOCKET}:/var/run/docker.sock",
            "/run/containerd/containerd.sock:/c",
            "/run/containerd:/c",
            "/srv/docker.sock:/x",
        ] {
            assert!(reaches_engine(text), "{text}");
        }
    }

    #[test]
    fn other_sockets_and_folders_are_none() {
        for text in [
            "/var/run/dstack.sock:/var/run/dstack.sock",
            "/var/run/tappd.sock:/var/run/tappd.sock",
            "data:/var/lib/data",
            "./run:/run",
            "/var/lib/app:/data",
            "/var/runner:/data",
            "/etc/ssl:/etc/ssl:ro",
            "${DATA:-/data}:/data",
            "docker:/x",
            "~/x:/y",
            "~:/y",
            "",
        ] {
            assert!(!reaches_engine(text), "{text}");
        }
    }
}
