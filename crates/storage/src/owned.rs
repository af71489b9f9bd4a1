//! A connection that is taken out of its pool.

use std::ops::{Deref, DerefMut};

use deadpool_postgres::{Client, ClientWrapper, Object};

/// A connection that never goes back to its pool, though it keeps its place there.
pub(crate) struct Owned(Option<Client>);

impl Owned {
    pub(crate) fn new(client: Client) -> Self {
        Self(Some(client))
    }

    /// Gives it back to the pool when it is dropped, after all.
    pub(crate) fn into_client(mut self) -> Client {
        self.0.take().expect("there until dropped")
    }
}

impl Deref for Owned {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.0.as_ref().expect("there until dropped")
    }
}

impl DerefMut for Owned {
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        self.0.as_mut().expect("there until dropped")
    }
}

impl Drop for Owned {
    /// Closes the connection, also one that hangs, which would outlive its client and keep the session's locks.
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Object::take(client));
        }
    }
}
