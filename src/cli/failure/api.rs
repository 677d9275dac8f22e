//! Failures of commands that are one request to Phala Cloud: there is no journal that settles what became of it, so
//! looking takes the place of running again.

use std::error::Error as _;

use super::verdict::{Next, Verdict, verdict};
use crate::cli::exit::Exit;
use crate::cli::failure::error::CliError;
use crate::cloud::{CloudError, Problem};
use crate::code::Code;
use crate::upgrade::UpgradeError;

/// Commands that are one request.
const COMMANDS: [&str; 4] = ["cvm", "kms", "nodes", "webhook"];

/// Statuses after which a request may have had its effect.
const UNSETTLED: [u16; 4] = [408, 500, 502, 504];

/// Statuses of an endpoint that wants a second factor first.
const FACTOR: [u16; 2] = [403, 428];

/// What an error means to `command`, which for an upgrade would mean `usual`.
pub(super) fn about(command: &str, error: &CliError, usual: Verdict) -> Verdict {
    if !COMMANDS.contains(&command) {
        return usual;
    }
    let look = || if command == "cvm" { Next::Cvm } else { Next::Again };
    let said = problem(error);
    let changes = |request: &str| !request.starts_with("GET ");
    let unsettled = said.is_some_and(|said| UNSETTLED.contains(&said.status) && changes(&said.request));
    if usual.code == Code::EnvValuesUnknown {
        return usual;
    }
    if usual.exit == Exit::Unknown || unsettled {
        return verdict(
            Exit::Unknown,
            Code::ApiUnknown,
            look(),
            "the request may have had its effect: look before it is given again",
        );
    }
    if said.is_some_and(|said| FACTOR.contains(&said.status) && said.request.ends_with("-secret")) {
        return verdict(
            Exit::Auth,
            Code::SecondFactorNeeded,
            Next::with("--second-factor-from SOURCE"),
            "give your second factor on Phala Cloud's site, then name where the cookie of that session is: env:NAME, \
             file:PATH or prompt",
        );
    }
    if said.is_some_and(Problem::is_app_id_conflict) {
        return verdict(
            Exit::State,
            Code::AppIdConflict,
            Next::Again,
            "this app id runs another compose hash: commit the hash that runs, or use another app id",
        );
    }
    match usual.code {
        Code::CommitNotAllowed => verdict(
            Exit::State,
            Code::HashNotAllowed,
            Next::Again,
            "the app's owner has to allow the hash on chain first",
        ),
        Code::CommitRejected466 => Verdict {
            hint: "the hash or its token is unknown, used, replaced or expired: begin with the first phase again"
                .to_owned(),
            next: Next::Again,
            ..usual
        },
        _ => Verdict {
            next: match usual.next {
                Next::Resume => Next::Again,
                Next::Look => look(),
                other => other,
            },
            ..usual
        },
    }
}

/// The server's own words, wherever they are in the chain of causes.
pub(super) fn problem(error: &CliError) -> Option<&Problem> {
    let error = match error {
        CliError::Upgrade(error) => error,
        CliError::NoCvm { refusal, .. } => return problem(refusal),
        _ => return None,
    };
    let cloud = match error.as_ref() {
        UpgradeError::Cloud(error) => Some(error),
        other => std::iter::successors(other.source(), |error| (*error).source())
            .find_map(|error| error.downcast_ref::<CloudError>()),
    };
    match cloud? {
        CloudError::Auth(problem)
        | CloudError::NotFound(problem)
        | CloudError::Busy(problem)
        | CloudError::Unavailable(problem)
        | CloudError::Refused(problem) => Some(problem),
        CloudError::Http(_)
        | CloudError::Unexpected { .. }
        | CloudError::Identity { .. }
        | CloudError::NoApiKey { .. }
        | CloudError::BadId { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, request: &str, code: Option<&str>) -> CliError {
        let problem = Box::new(Problem {
            request: request.to_owned(),
            status,
            code: code.map(str::to_owned),
            message: "no".to_owned(),
            request_id: None,
            retry_after: None,
            suggestions: Vec::new(),
        });
        CliError::from(match status {
            409 if code.is_none() => CloudError::Busy(problem),
            500.. => CloudError::Unavailable(problem),
            _ => CloudError::Refused(problem),
        })
    }

    fn told(command: &str, error: &CliError) -> (u8, String, Next) {
        let said = about(command, error, super::super::judge(error));
        (said.exit.code(), said.code.name().to_owned(), said.next)
    }

    #[test]
    fn a_write_whose_fate_is_open_is_looked_at_and_a_read_is_repeated() {
        let (write, read) = ("POST /api/v1/cvms/x/start", "GET /api/v1/cvms/x");
        for status in UNSETTLED.into_iter().filter(|status| *status >= 500) {
            let error = refused(status, write, None);
            assert_eq!(told("cvm", &error), (9, "API_UNKNOWN".to_owned(), Next::Cvm));
            assert_eq!(told("webhook", &error).2, Next::Again);
            assert_eq!(
                told("cvm", &refused(status, read, None)),
                (75, "API_UNAVAILABLE".to_owned(), Next::Again)
            );
            assert_eq!(
                told("commit", &error).1,
                "API_UNAVAILABLE",
                "an upgrade settles by itself"
            );
        }
        assert_eq!(told("cvm", &refused(503, write, None)).0, 75, "maintenance did nothing");
        assert_eq!(
            told("cvm", &refused(409, write, None)),
            (75, "API_BUSY".to_owned(), Next::Again)
        );
    }

    #[test]
    fn a_secret_that_wants_a_second_factor_is_told_apart_from_a_key_that_is_refused() {
        let secret = "POST /api/v1/workspace/webhooks/wh_1/reveal-secret";
        for request in [secret, "POST /api/v1/workspace/webhooks/wh_1/rotate-secret"] {
            let (exit, code, next) = told("webhook", &refused(428, request, None));
            assert_eq!((exit, code.as_str()), (4, "SECOND_FACTOR_NEEDED"));
            assert_eq!(next, Next::with("--second-factor-from SOURCE"));
        }
        assert_ne!(told("webhook", &refused(400, secret, None)).1, "SECOND_FACTOR_NEEDED");
        assert_ne!(
            told("webhook", &refused(428, "POST /api/v1/workspace/webhooks", None)).1,
            "SECOND_FACTOR_NEEDED"
        );
    }

    #[test]
    fn an_app_id_in_use_is_no_busy_one() {
        let error = refused(409, "POST /api/v1/cvms", Some("ERR-03-007"));
        assert_eq!(told("cvm", &error), (6, "APP_ID_CONFLICT".to_owned(), Next::Again));
    }

    #[test]
    fn second_phases_are_told_in_their_own_words() {
        let write = "PATCH /api/v1/cvms/x/envs";
        assert_eq!(told("cvm", &refused(468, write, None)).1, "HASH_NOT_ALLOWED");
        assert_eq!(told("cvm", &refused(466, write, None)).2, Next::Again);
    }
}
