//! The master that the Sentinels know: asked at a connect, each second beside, and whenever there is doubt.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use concurrency::fork;
use concurrency::signals::in_programs_threads;
use redis::{cmd, Value};

use crate::connection::{Connection, Target};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::secret::Login;
use crate::url::Address;

/// So long an answer serves.
const SERVES: Duration = Duration::from_secs(1);
/// The bound of a question that nobody waits for.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Known {
    /// The count of forks of the process whose thread asks.
    asking: u64,
    master: Option<Address>,
    /// When it was asked for last; `None`: there is doubt.
    asked: Option<Instant>,
}

/// The Sentinels of one service.
pub struct Sentinels {
    sentinels: Vec<Target>,
    login: Login,
    service: String,
    /// The master's settings, whose address is the Sentinels' matter.
    base: Target,
    /// Locked within `fork::exclusive` only, so nobody waits and no child finds it locked.
    known: Mutex<Known>,
}

impl Sentinels {
    /// `base`: how the master is spoken to.
    pub fn new(base: Target, sentinels: &[Address], service: String, login: Login) -> Arc<Sentinels> {
        let sentinels = sentinels.iter().map(|address| base.at(address.clone()).with_db(0)).collect();
        Arc::new(Sentinels { sentinels, login, service, base, known: Mutex::default() })
    }

    fn with<R>(&self, f: impl FnOnce(&mut Known) -> R) -> R {
        fork::exclusive(|| f(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The master's target; asks, if what is known is old.
    ///
    /// # Errors
    /// [`Error::Resolve`]: no Sentinel knows one, and none was known.
    pub(super) fn master(&self, deadline: Deadline) -> Result<Target, Error> {
        let known = self.with(|known| {
            let is_young = known.asked.is_some_and(|asked| asked.elapsed() < SERVES);
            known.master.clone().filter(|_| is_young)
        });
        match known {
            Some(address) => Ok(self.base.at(address)),
            None => {
                self.ask(deadline);
                let address = self.with(|known| known.master.clone()).ok_or(Error::Resolve)?;
                Ok(self.base.at(address))
            }
        }
    }

    pub(super) fn doubt(&self) {
        self.with(|known| known.asked = None);
    }

    /// Asks one after the other, until one knows; whether the master is another one than was known.
    fn ask(&self, deadline: Deadline) -> bool {
        for (i, sentinel) in self.sentinels.iter().enumerate() {
            // One that is silent leaves time for the others, and for the master itself.
            let Ok(left) = deadline.remaining() else { break };
            let share = Deadline::after(left / (self.sentinels.len() - i + 1) as u32);
            let Ok(Some(address)) = self.ask_one(sentinel, share) else { continue };
            return self.with(|known| {
                known.asked = Some(Instant::now());
                let is_other = known.master.as_ref().is_some_and(|master| *master != address);
                known.master = Some(address);
                is_other
            });
        }
        false
    }

    fn ask_one(&self, sentinel: &Target, deadline: Deadline) -> Result<Option<Address>, Error> {
        let mut connection = Connection::open(sentinel, &self.login, deadline)?;
        let mut question = cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(&self.service);
        let text = |value: &Value| match value {
            Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
            Value::SimpleString(text) => Some(text.clone()),
            _ => None,
        };
        match connection.request(&question, deadline)? {
            Value::Array(parts) if parts.len() == 2 => {
                let port = text(&parts[1]).and_then(|port| port.parse().ok());
                Ok(text(&parts[0]).zip(port).map(|(host, port)| Address::Tcp(host.to_lowercase(), port)))
            }
            _ => Ok(None),
        }
    }

    /// Asks beside, if it is time; `moved` is called if there is another master. Nobody waits for it.
    pub fn look_around(self: &Arc<Self>, moved: impl FnOnce() + Send + 'static) {
        let begins = self.with(|known| {
            let is_old = known.asked.is_none_or(|asked| asked.elapsed() >= SERVES);
            // (A master that nobody has asked for yet is found at the first connect.)
            let begins = is_old && known.master.is_some() && known.asking != fork::epoch();
            if begins {
                known.asking = fork::epoch();
            }
            begins
        });
        if !begins {
            return;
        }
        let sentinels = self.clone();
        let builder = std::thread::Builder::new().name("warp-sentinel".into());
        let ask = move || {
            let is_other = sentinels.ask(Deadline::after(ASK_TIMEOUT));
            sentinels.with(|known| {
                known.asking = 0;
                // Not again at once, whatever came of it.
                known.asked = Some(Instant::now());
            });
            if is_other {
                moved();
            }
        };
        if in_programs_threads(|| builder.spawn(ask)).is_err() {
            self.with(|known| known.asking = 0);
        }
    }
}
