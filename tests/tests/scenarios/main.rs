//! Black-box scenarios and fault tests with the real binaries, and the test of the architecture: one program, so that
//! it is linked once. One family of scenarios a file.

mod architecture;
mod audit;
mod balance;
mod breaker;
mod channels;
mod chaos;
mod configuration;
mod contradictions;
mod crash_matrix;
mod crashes;
mod dead_letters;
mod dev;
mod doctor;
mod examples;
mod formats;
mod interfaces;
mod main_path;
mod merchants;
mod notifications;
mod outages;
mod pay_client;
mod problems;
mod promises;
mod recharges;
mod refunds;
mod replicas;
mod retention;
mod rollout;
mod schemas;
mod supervision;
mod tls;
mod upstream;
mod webhook_check;
