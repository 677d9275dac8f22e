// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// A guard that lets one sender through and refuses everybody else, with a reason or without.
contract RefusingGuard {
    string public reason;
    address public friend;

    constructor(string memory why, address exempt) {
        (reason, friend) = (why, exempt);
    }

    function supportsInterface(bytes4) external pure returns (bool) {
        return true;
    }

    function checkTransaction(
        address, uint256, bytes memory, uint8, uint256, uint256, uint256, address, address payable, bytes memory,
        address sender
    ) external view {
        if (sender == friend) return;
        if (bytes(reason).length == 0) revert();
        revert(reason);
    }

    function checkAfterExecution(bytes32, bool) external pure {}
}

/// What Safes call in tests, and what stands around them: refusals of every kind, events that anybody can write, and
/// several calls in one transaction.
contract Stage {
    error NotToday(uint256 day);

    event Acted(address sender);

    function act() external {
        emit Acted(msg.sender);
    }

    function refuse(string calldata reason) external pure {
        revert(reason);
    }

    function refuseSilently() external pure {
        revert();
    }

    function refuseByName(uint256 day) external pure {
        revert NotToday(day);
    }

    function say(bytes32 topic, bytes32 hash, bool indexed_) external {
        if (indexed_) {
            assembly {
                mstore(0, 0)
                log2(0, 32, topic, hash)
            }
        } else {
            assembly {
                mstore(0, hash)
                mstore(32, 0)
                log1(0, 64, topic)
            }
        }
    }

    function callAll(address[] calldata to, bytes[] calldata data) external {
        for (uint256 i = 0; i < to.length; i++) {
            (bool ok,) = to[i].call(data[i]);
            require(ok, "a call failed");
        }
    }
}
