"""A training session: fit with validation, a picture, and going on from another process by name.

python examples/session.py [PICTURE.png]
"""

import sys

import numpy as np

import chainrule as cr


def model(params, x):
    """A small classifier of points in the plane."""
    hidden = np.tanh(x @ params["W1"] + params["b1"])
    return hidden @ params["W2"] + params["b2"]


def loss(params, x, label):
    """Cross-entropy, with the accuracy as a metric."""
    logits = model(params, x)
    right = np.argmax(logits, axis=-1) == label
    accuracy = np.mean(np.where(right, 1.0, 0.0))
    return cr.losses.softmax_cross_entropy(logits, label), {"accuracy": accuracy}


def two_moons(n, seed):
    """Two interleaved half circles with noise."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    angle = np.pi * rng.uniform(size=n)
    x = np.stack([np.cos(angle) + label, np.where(label, 0.5 - np.sin(angle), np.sin(angle))], -1)
    return x + rng.normal(size=x.shape) * 0.15, label


def main():
    """Trains, opens the session a second time, and trains on."""
    rng = np.random.default_rng(0)
    params = {
        "W1": rng.normal(size=(2, 16)),
        "b1": np.zeros(16),
        "W2": rng.normal(size=(16, 2)) * 0.25,
        "b2": np.zeros(2),
    }
    rate = cr.schedules.cosine(2e-2, steps=400)
    optimizer = cr.optim.chain(cr.optim.clip_by_global_norm(1.0), cr.optim.adam(rate))
    data, held_out = two_moons(800, 1), two_moons(400, 2)
    with cr.connect() as client:
        session = client.create_session(loss, params, optimizer=optimizer, name="two-moons")
        session.fit(data, epochs=10, batch_size=40, validation=held_out)

        # What another process would do: no function, no parameters, only the name.
        again = client.open_session("two-moons")
        print(f"goes on at step {again.next_step}")
        history = again.fit(data, epochs=20, batch_size=40, validation=held_out)
        print(history)
        if len(sys.argv) > 1:
            history.plot(sys.argv[1], title="two moons")
        predicted = again.predict(model, held_out[0]).argmax(axis=-1)
        print(f"accuracy {np.mean(predicted == held_out[1]):.3f}")
        again.close()


if __name__ == "__main__":
    main()
