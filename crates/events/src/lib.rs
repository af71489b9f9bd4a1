//! The domain of payrelay: money, numbers, statuses, transitions, events and their codecs. No I/O.
