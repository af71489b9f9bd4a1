//! What the broker says when it refuses a user, and what to do about it.
//!
//! RabbitMQ names the thing, the vhost and the user; which right is missing it says from 3.11 on only. Older ones are helped by
//! what was asked of them.

use lapin::ErrorKind;

use crate::error::{Error, PublishError};

/// The broker's word for what this user may not do.
const ACCESS_REFUSED: u16 = 403;
/// The broker's word for a vhost that is not there or not for this user.
const NOT_ALLOWED: u16 = 530;

/// What an operation needs: a right on the queue, and one on the exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs {
    queue: &'static str,
    exchange: &'static str,
}

pub(crate) const DECLARE_EXCHANGE: Needs = Needs { queue: "configure", exchange: "configure" };
/// A queue that dead-letters needs the right to read it and to write to where it dead-letters.
pub(crate) const DECLARE_QUEUE: Needs = Needs { queue: "configure and read", exchange: "write" };
pub(crate) const BIND: Needs = Needs { queue: "write", exchange: "read" };
pub(crate) const CONSUME: Needs = Needs { queue: "read", exchange: "read" };
pub(crate) const PUBLISH: Needs = Needs { queue: "write", exchange: "write" };

/// The error of an operation, with the right that it lacks if that is why it failed.
pub(crate) fn of(needs: Needs) -> impl Fn(lapin::Error) -> Error {
    move |error| read(error, Some(needs), "")
}

/// The error of a connection that `user` did not get.
pub(crate) fn of_login(user: &str) -> impl Fn(lapin::Error) -> Error {
    move |error| read(error, None, user)
}

/// What an error of the client means.
pub(crate) fn read(error: lapin::Error, needs: Option<Needs>, login: &str) -> Error {
    match error.kind() {
        ErrorKind::ParsingError(_) => Error::Unreadable(error),
        ErrorKind::ProtocolError(refusal) => {
            let (code, reason) = (refusal.get_id(), refusal.get_message().as_str());
            match remedy(code, reason, needs, login) {
                Some(remedy) => Error::Denied { code, reason: reason.to_owned(), remedy },
                None => Error::Broker(error),
            }
        }
        _ => Error::Broker(error),
    }
}

impl From<lapin::Error> for Error {
    fn from(error: lapin::Error) -> Self {
        read(error, None, "")
    }
}

impl From<lapin::Error> for PublishError {
    fn from(error: lapin::Error) -> Self {
        Self::Broken(of(PUBLISH)(error))
    }
}

fn remedy(code: u16, reason: &str, needs: Option<Needs>, login: &str) -> Option<String> {
    let named = |what: &str| Some(reason.split_once(what)?.1.split_once('\'')?.0);
    let (vhost, user) = (named("vhost '"), named("user '"));
    match (code, vhost, user) {
        (ACCESS_REFUSED, Some(vhost), Some(user)) => {
            let (kind, name, needed) = match (named("queue '"), named("exchange '")) {
                (Some(queue), _) => ("queue", queue, needs.map(|needs| needs.queue)),
                (None, Some(exchange)) => ("exchange", exchange, needs.map(|needs| needs.exchange)),
                (None, None) => ("vhost", vhost, None),
            };
            let told = ["configure", "write", "read"].into_iter();
            let mut told = told.filter(|right| reason.contains(&format!("{right} access to")));
            let right = told.next().or(needed).unwrap_or("use");
            Some(format!(
                "user '{user}' lacks the right to {right} {kind} '{name}': see rabbitmqctl list_user_permissions '{user}', and grant \
                 all three rights together with rabbitmqctl set_permissions -p '{vhost}' '{user}' CONFIGURE WRITE READ"
            ))
        }
        (ACCESS_REFUSED, ..) => Some(format!(
            "user '{login}' may not log in: check user and password in the AMQP URL (rabbitmqctl authenticate_user '{login}'); \
             guest may log in from the broker's own machine only"
        )),
        // A limit of connections is told in the same words, and more of them.
        (NOT_ALLOWED, Some(vhost), Some(user)) if reason.ends_with(&format!("user '{user}'")) => {
            Some(format!(
                "user '{user}' has no rights in vhost '{vhost}': rabbitmqctl set_permissions -p '{vhost}' '{user}' CONFIGURE WRITE READ"
            ))
        }
        (NOT_ALLOWED, ..) if reason.contains("vhost ") && reason.ends_with("not found") => Some(
            "mend the vhost in the AMQP URL (/ is written %2f there), or make it: rabbitmqctl add_vhost"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_which_right_on_what_for_whom() {
        let queue = "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'u'";
        let exchange =
            "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost 'v' refused for user 'u'";
        let login = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.";
        let vhost = "NOT_ALLOWED - access to vhost 'v' refused for user 'u'";
        for (code, reason, needs, expected) in [
            (403, queue, Some(CONSUME), "user 'u' lacks the right to read queue 'q'"),
            (403, queue, Some(DECLARE_QUEUE), "the right to configure and read queue 'q'"),
            (403, queue, None, "the right to use queue 'q'"),
            (403, exchange, Some(DECLARE_QUEUE), "write exchange 'amq.default'"),
            (403, exchange, None, "set_permissions -p 'v' 'u'"),
            (403, login, None, "user 'pay' may not log in"),
            (530, vhost, None, "no rights in vhost 'v'"),
            (530, "NOT_ALLOWED - vhost nosuch not found", None, "add_vhost"),
        ] {
            let remedy = remedy(code, reason, needs, "pay").unwrap();
            assert!(remedy.contains(expected), "{reason}: {remedy}");
        }
        let limit = "NOT_ALLOWED - access to vhost '/' refused for user 'u': connection limit (1) is reached";
        for (code, reason) in
            [(530, limit), (406, queue), (530, "NOT_ALLOWED - attempt to reuse consumer tag")]
        {
            assert_eq!(remedy(code, reason, None, "pay"), None, "{reason}");
        }
    }
}
