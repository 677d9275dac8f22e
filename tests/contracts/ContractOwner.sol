// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

/// Owns Safes: takes `yes` followed by keccak256 of the message for its signature, reverts on `no`. Tells of every other
/// call, so that it can be called as well.
contract ContractOwner {
    event Called(address sender, bytes data);

    function isValidSignature(bytes calldata message, bytes calldata signature) external pure returns (bytes4) {
        return judge(keccak256(message), signature) ? bytes4(0x20c13b0b) : bytes4(0);
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external pure returns (bytes4) {
        return judge(keccak256(abi.encodePacked(hash)), signature) ? bytes4(0x1626ba7e) : bytes4(0);
    }

    function judge(bytes32 digest, bytes calldata signature) private pure returns (bool) {
        require(keccak256(signature) != keccak256("no"), "the owner says no");
        return keccak256(signature) == keccak256(abi.encodePacked("yes", digest));
    }

    fallback() external {
        emit Called(msg.sender, msg.data);
    }
}
