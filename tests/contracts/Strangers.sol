// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// Runs inside a Safe, as `setup` and delegate calls let it: writes what no getter shows, and tells what it likes.
contract Planter {
    event ApproveHash(bytes32 indexed approvedHash, address indexed owner);
    event DisabledModule(address module);
    event SafeSetup(address indexed initiator, address[] owners, uint256 threshold, address initializer, address handler);

    function plant(bytes32 slot, bytes32 value) external {
        assembly {
            sstore(slot, value)
        }
    }

    function plantRemoved(bytes32 slot, address member) external {
        emit DisabledModule(member);
        assembly {
            sstore(slot, 1)
        }
    }

    function plantApproval(bytes32 slot, bytes32 hash, address owner) external {
        emit SafeSetup(msg.sender, new address[](0), 1, address(0), address(0));
        emit ApproveHash(hash, owner);
        assembly {
            sstore(slot, 1)
        }
    }
}

/// Takes every signature.
contract SaysYes {
    function isValidSignature(bytes calldata, bytes calldata) external pure virtual returns (bytes4) {
        return 0x20c13b0b;
    }

    function isValidSignature(bytes32, bytes calldata) external pure virtual returns (bytes4) {
        return 0x1626ba7e;
    }
}

/// Takes the signature of anybody at all: a check that was forgotten.
contract TakesAnyKey {
    function isValidSignature(bytes32 hash, bytes calldata signature) external pure returns (bytes4) {
        if (signature.length != 65) return 0;
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        return ecrecover(hash, uint8(signature[64]), r, s) != address(0) ? bytes4(0x1626ba7e) : bytes4(0);
    }
}

/// Does nothing, and nobody knows it.
contract Quiet {
    function hello() external pure returns (uint256) {
        return 1;
    }
}

/// What Zodiac's Delay module answers, and does for its owner.
contract DelayModule {
    address public immutable owner;
    uint256 public txCooldown = 86400;
    uint256 public queueNonce;
    uint256 public txNonce;

    constructor(address owner_) {
        owner = owner_;
    }

    function setTxCooldown(uint256 cooldown) external {
        require(msg.sender == owner, "not the owner");
        txCooldown = cooldown;
    }
}

/// Belongs to somebody, and is of no kind that is known by name.
contract Belonging {
    address public owner;
    address public pendingOwner;

    constructor(address owner_, address heir) {
        owner = owner_;
        pendingOwner = heir;
    }
}
