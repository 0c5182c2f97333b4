//! Variables `SESSILE_…` of the environment: those that set a flag, those that a cluster puts into
//! every process, and those that mean nothing.

use std::collections::BTreeSet;

use sessile_pipelines::summarize::environment as worker;
use sessile_runtime::discovery;
use sessile_server::environment::is_link;
use sessile_server::spelling::nearest;

/// What every variable begins with.
const PREFIX: &str = "SESSILE_";

/// Where the tests find what is not part of the project.
const REFERENCE: &str = "SESSILE_REFERENCE";

/// `token-budget` is `SESSILE_TOKEN_BUDGET`.
pub(super) fn variable(flag: &str) -> String {
    format!("{PREFIX}{}", flag.replace('-', "_").to_uppercase())
}

/// Whether Kubernetes or Docker has set this, for another service that is called `sessile` or
/// `sessile-…`: `SESSILE_PORT=tcp://10.96.12.3:80`, `SESSILE_SERVICE_HOST`, `SESSILE_PORT_80_TCP_ADDR`.
pub(super) fn is_injected(name: &str, value: &str) -> bool {
    if name.ends_with("_PORT") && is_link(value)
        || name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
    {
        return true;
    }
    // A number and a protocol, and what is said of them.
    let Some((_, port)) = name.rsplit_once("_PORT_") else {
        return false;
    };
    let mut parts = port.split('_');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.next().is_some_and(is_number)
        && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
        && matches!(parts.next(), None | Some("PROTO" | "PORT" | "ADDR"))
}

/// What to say of the variables that set nothing, though they look as if they did.
pub(super) fn unknown(
    environment: impl Iterator<Item = (String, String)>,
    flags: &BTreeSet<String>,
) -> Vec<String> {
    let known: BTreeSet<String> = flags
        .iter()
        .map(|flag| variable(flag))
        .chain(discovery::variables().map(str::to_owned))
        .chain([REFERENCE.to_owned()])
        .collect();
    let mut names: Vec<String> = environment
        .filter(|(name, value)| {
            name.starts_with(PREFIX) && !known.contains(name) && !is_injected(name, value)
        })
        .map(|(name, _)| name)
        .collect();
    names.sort_unstable();
    names
        .iter()
        .map(|name| {
            let near = nearest(
                &name[PREFIX.len()..],
                known.iter().filter_map(|known| known.strip_prefix(PREFIX)),
            );
            match near {
                Some(near) => {
                    format!(
                        "{name} sets nothing: no flag has this name; did you mean {PREFIX}{near}?"
                    )
                }
                None => format!("{name} sets nothing: no flag has this name"),
            }
        })
        .collect()
}

/// What to say of a name in `.env` that looks like a setting and sets nothing.
pub(super) fn unknown_in_file(name: &str) -> Option<String> {
    if name.starts_with(PREFIX) {
        return Some(format!(
            "{name} sets nothing here: put it into the environment, or its flag into the settings file"
        ));
    }
    let is_like_the_workers = ["GPU_", "MODEL_POOL_"]
        .iter()
        .any(|prefix| name.starts_with(prefix));
    (is_like_the_workers && !worker::is_name(name))
        .then(|| format!("{name} sets nothing: no setting has this name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cluster_sets_is_told_from_settings() {
        let cases = [
            ("SESSILE_PORT", "tcp://10.96.12.3:80", true),
            ("SESSILE_PORT", "8000", false),
            ("SESSILE_PORT", "udp://10.96.12.3:53", true),
            ("SESSILE_SERVICE_HOST", "10.96.12.3", true),
            ("SESSILE_SERVICE_PORT", "80", true),
            ("SESSILE_SERVICE_PORT_HTTP", "80", true),
            ("SESSILE_PORT_80_TCP", "tcp://10.96.12.3:80", true),
            ("SESSILE_PORT_8000_TCP_ADDR", "10.96.12.3", true),
            ("SESSILE_PORT_8000_TCP_PROTO", "tcp", true),
            ("SESSILE_GPU_PORT", "tcp://10.96.12.3:80", true),
            ("SESSILE_GPU_SERVICE_HOST", "10.96.12.3", true),
            ("SESSILE_HOST", "10.96.12.3", false),
            ("SESSILE_PORT_FORWARD", "1", false),
            ("SESSILE_PORT_80_THING", "1", false),
        ];
        for (name, value, expected) in cases {
            assert_eq!(is_injected(name, value), expected, "{name}={value}");
        }
    }

    #[test]
    fn a_variable_that_sets_nothing_is_told() {
        let environment = [
            ("SESSILE_TOKENS_BUDGET", "1"),
            ("SESSILE_TOKEN_BUDGET", "1"),
            ("SESSILE_ISA", "avx2"),
            ("SESSILE_SERVICE_PORT", "80"),
            ("SESSILE_QQ", "1"),
            ("PATH", "/bin"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let flags = BTreeSet::from(["token-budget".to_owned(), "port".to_owned()]);
        let told = unknown(environment.into_iter(), &flags);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("SESSILE_QQ sets nothing"), "{told:?}");
        assert!(
            told[1].ends_with("did you mean SESSILE_TOKEN_BUDGET?"),
            "{told:?}"
        );
    }
}
