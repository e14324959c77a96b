"""BindsNET: an unsupervised layer of spiking neurons that learns by STDP, while ahsar keeps its rate in a band.

python examples/bindsnet_rates.py
"""
# pyright: reportMissingImports=false

import torch
from bindsnet.learning import PostPre
from bindsnet.network import Network
from bindsnet.network.nodes import Input, LIFNodes
from bindsnet.network.topology import Connection
from sklearn.datasets import load_digits

import ahsar


def main(samples: int = 200, time: int = 50) -> dict[str, float]:
    torch.manual_seed(0)
    images = torch.tensor(load_digits(return_X_y=True)[0] / 16, dtype=torch.float32)

    network = Network()
    network.add_layer(Input(64, traces=True), name="X")
    network.add_layer(LIFNodes(32, traces=True, refrac=1, tc_decay=20.0), name="Y")
    weights = 0.2 * torch.rand(64, 32)  # too small to fire at first; what is learned makes up for it, and more
    learned = Connection(
        network.layers["X"], network.layers["Y"], w=weights, update_rule=PostPre, nu=(1e-4, 1e-3), wmin=0.0, wmax=1.0
    )
    network.add_connection(learned, "X", "Y")

    homeostat = ahsar.attach(network, config=ahsar.Config(set_point=0.1))
    for sample, image in enumerate(images[:samples]):
        spikes = torch.bernoulli(0.3 * image.expand(time, 1, 64))
        network.run({"X": spikes}, time=time)
        homeostat.step()  # no optimizer steps here, so by hand
        network.reset_state_variables()
        if sample % 50 == 49:
            print(f"sample {sample + 1}: rates {homeostat.rates}, scales {homeostat.scales}")
    return homeostat.rates


if __name__ == "__main__":
    main()
