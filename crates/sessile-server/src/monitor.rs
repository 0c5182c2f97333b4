//! Watches the lanes: asks those that have nothing to do for a forward pass now and then, and
//! keeps what the service says of itself true.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tonic_health::ServingStatus;

use crate::health::{self, Lanes};
use crate::service::Service;

/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(250);

/// Turns from one look at the files of the certificate to the next: ten seconds.
const TLS_TURNS: u64 = 40;

/// Looks every so often, four times for each turn of the rates. Ends when no lane is left.
pub(crate) async fn watch(service: Arc<Service>) {
    let mut turn = tokio::time::interval(INTERVAL);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut turns = 0_u64;
    loop {
        turn.tick().await;
        turns += 1;
        if turns.is_multiple_of(4) {
            service.telemetry.tick(&service);
        }
        if turns.is_multiple_of(TLS_TURNS) {
            look_at_certificate(&service);
        }
        probe(&service);
        let lanes = health::lanes(&service);
        if matches!(lanes, Lanes::Healthy | Lanes::Degraded)
            && !service.is_started.swap(true, Ordering::AcqRel)
        {
            tracing::info!("every lane has answered its first pass: ready");
        }
        let unready = health::unready(&service);
        let is_ready = unready.is_none();
        tell_grpc(&service, is_ready).await;
        if service.is_ready.swap(is_ready, Ordering::AcqRel) && !is_ready {
            tracing::warn!(reason = unready.unwrap_or_default(), "not ready any more");
        }
        if lanes == Lanes::Gone {
            tracing::error!("no lane is left");
            return;
        }
    }
}

/// Reads the certificate again where its files have changed.
fn look_at_certificate(service: &Service) {
    let Some(tls) = service.options.tls.clone() else {
        return;
    };
    // A file may be on a slow disk.
    tokio::task::spawn_blocking(move || match tls.reload_if_changed() {
        Ok(false) => {}
        Ok(true) => tracing::info!("the certificate has changed and was read again"),
        Err(error) => tracing::error!(
            error,
            "the certificate was not read again: the old one stays"
        ),
    });
}

/// Has gRPC's health service say the same, of the whole and of each service.
async fn tell_grpc(service: &Service, is_ready: bool) {
    let status = if is_ready {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    for name in ["", "sessile.v1.Sessile", "inference.GRPCInferenceService"] {
        service.grpc_health.set_service_status(name, status).await;
    }
}

/// Asks the lanes that have not answered for a while. The answer itself does not matter: that
/// there was one is what the lane's metrics tell.
fn probe(service: &Service) {
    let Some(engine) = service.loaded() else {
        return;
    };
    for (number, lane) in engine.pool.lane_metrics().iter().enumerate() {
        let is_due = lane
            .since_success()
            .is_none_or(|since| since >= service.options.probe_interval);
        if lane.is_out() || !is_due {
            continue;
        }
        // Refused while the last probe is still on its way.
        if let Ok(pending) = engine.pool.probe(number) {
            tokio::spawn(async move {
                if let Err(error) = pending.await {
                    tracing::warn!(lane = number, %error, "a lane did not answer a probe");
                }
            });
        }
    }
}
